import type { App, Millis, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import { GRANT_IS_PROXY } from './access-policy.ts'
import { tokenRefused } from './broker-token.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
import type { Proof } from './dpop.ts'
import { isExpired, isGrantOver, readLiveGrant, tokenStatus } from './token-status.ts'
import type { LiveGrant } from './token-status.ts'

/** The app that a request names. Without authentication, only a public app is accepted. */
export interface NamedClient {
  id: string
  authenticated: boolean
}

/** A broker token, and the client that presents it. */
export interface PresentedToken {
  brokerToken: string
  /** `null`: the request names no client, which is enough for a public app's token. */
  client: NamedClient | null
  /** Proof of the key that the token is bound to; `null`: presented as a bearer token. */
  proof: Proof | null
  /** It comes from the cookie of a session: see `AppSessions`. */
  isSession?: boolean | undefined
}

/** The app and the connection (`sub`) of a grant. */
export type GrantOwner = Pick<Claims, 'clientId' | 'sub'>

/** Why a token is presented: a confidential app has to authenticate for most purposes. */
type Purpose = 'swap' | 'drive' | 'revoke'

/** Authenticates broker tokens by the state of their grants, and explains refusals. */
export interface TokenAuthentication {
  /**
   * Verifies a presented token and reads its current state.
   * @param onVerified called with the app's id as soon as the token proves it
   * @returns the claims, the state, and whether something was awaited since the state was read
   * @throws BrokerError
   */
  authenticate(
    presented: PresentedToken,
    purpose: Exclude<Purpose, 'revoke'>,
    onVerified?: (appId: string) => void,
  ): Promise<[Claims, LiveGrant, boolean]>
  /** Names the app in an error, and adds `reconnect_url` if reconnecting helps. */
  explain(error: unknown, owner: GrantOwner): Promise<unknown>
  /** Adds `reconnect_url`, unless the app was removed. */
  addReconnectUrl(error: BrokerError, owner: GrantOwner): Promise<BrokerError>
}

export function createTokenAuthentication(deps: {
  store: Store
  tokens: BrokerTokens
  clock: Clock
  publicUrl: string
}): TokenAuthentication {
  const { store, tokens, clock, publicUrl } = deps

  const explain: TokenAuthentication['explain'] = async (error, owner) => {
    if (!(error instanceof BrokerError)) return error
    const details = { ...error.details, appId: owner.clientId }
    const named = new BrokerError(error.code, details)
    const isEnded = error.code === 'connection_revoked' || error.code === 'needs_reconnect'
    const helps = isEnded || error.details.reason === GRANT_IS_PROXY
    return helps ? addReconnectUrl(named, owner) : named
  }

  const addReconnectUrl: TokenAuthentication['addReconnectUrl'] = async (error, owner) => {
    const app = await store.getApp(owner.clientId)
    if (!app) return error
    const url = reconnectUrl(publicUrl, app, owner.sub)
    return new BrokerError(error.code, { ...error.details, reconnectUrl: url })
  }

  /**
   * Refuses a token that expired, or whose `jti` the grant does not know, and records its first use. A token
   * that comes although another one took its place revokes the grant (RFC 9700 4.14.2).
   * @returns the state; another object if it waited for a write
   */
  const checkJti = async (live: LiveGrant, claims: Claims): Promise<LiveGrant> => {
    const { grant } = live
    const now = clock.now()
    const status = tokenStatus(grant, claims, now)
    if (status === 'late') return revokeCopied(live, now)
    if (isGrantOver(live, now)) throw await addReconnectUrl(tokenRefused('grant_over'), claims)
    if (status === 'unknown') throw tokenRefused('token_unknown')
    if (isExpired(claims, now)) throw tokenRefused('token_expired')
    if (status === 'previous' || grant.jtiUsedAt !== null) return live
    const { jti } = claims
    if (await store.useJti({ grantId: grant.id, expectedJti: grant.jti, jti, now })) {
      return { ...live, grant: { ...grant, jti, jtiUsedAt: now } }
    }
    // Another request used or renewed the grant since it was read.
    return checkJti(await readLiveGrant(store, claims), claims)
  }

  const revokeCopied = async ({ grant, app }: LiveGrant, now: Millis): Promise<never> => {
    const event = {
      at: now,
      actor: 'system',
      action: 'grant.revoked',
      grantId: grant.id,
      connectionId: grant.connectionId,
      appId: app.id,
      details: 'a superseded broker token was used: the token may have been copied',
    }
    await store.revokeGrants({ id: grant.id, now, events: [event] })
    throw tokenRefused('token_superseded')
  }

  const authenticate: TokenAuthentication['authenticate'] = async (
    presented,
    purpose,
    onVerified,
  ) => {
    const { brokerToken, client, proof, isSession = false } = presented
    const claims = await tokens.verify(brokerToken, { expired: 'accepted' })
    onVerified?.(claims.clientId)
    try {
      const live = await readLiveGrant(store, claims)
      checkClient(live.app, client, purpose)
      checkSession(live.app, isSession)
      checkKey(live, proof)
      await proof?.use()
      const checked = await checkJti(live, claims)
      return [claims, checked, checked !== live || proof !== null]
    } catch (error) {
      throw await explain(error, claims)
    }
  }

  return { authenticate, explain, addReconnectUrl }
}

/**
 * The URL where the user of a connection can connect again, for one app.
 * @param connectionId `null`: not known
 */
export function reconnectUrl(
  publicUrl: string,
  { id, redirectUris: [first, second] }: Pick<App, 'id' | 'redirectUris'>,
  connectionId: string | null,
): string {
  const url = new URL(`${publicUrl}/connect/${encodeURIComponent(id)}`)
  if (connectionId !== null) url.searchParams.set('connection', connectionId)
  if (first !== undefined && second !== undefined) url.searchParams.set('redirect_uri', first)
  return url.href
}

/**
 * The token must be of the named app; a confidential app must have authenticated. At the proxy, which takes the
 * token alone, only apps that have chosen it (`access: 'proxy'`) need not: they have no other use for a token.
 * @throws BrokerError `invalid_client`
 */
export function checkClient(
  app: LiveGrant['app'],
  client: NamedClient | null,
  purpose: Purpose,
): void {
  const isSameApp = client === null || client.id === app.id
  const needsAuthentication = app.confidential && !(purpose === 'drive' && app.access === 'proxy')
  if (isSameApp && (!needsAuthentication || client?.authenticated === true)) return
  const description =
    client === null && purpose !== 'revoke'
      ? 'This app is confidential: swap at /oauth/token, and authenticate there. For the proxy and links, register it with --access proxy.'
      : 'This broker token belongs to another app, or the app did not authenticate.'
  const reason = isSameApp ? 'client_not_authenticated' : 'token_of_another_app'
  throw new BrokerError('invalid_client', { description, reason })
}

/**
 * The token of a session comes in its cookie only, and only as long as the app has sessions.
 * @throws BrokerError `unauthorized_client`
 */
export function checkSession({ session }: Pick<App, 'session'>, isSession: boolean): void {
  if ((session === 'cookie') !== isSession) throw sessionRefused(isSession)
}

/** @param isSession the request uses a session, which the app has no more; otherwise it should use one */
export const sessionRefused = (isSession: boolean): BrokerError =>
  new BrokerError('unauthorized_client', {
    description: isSession
      ? 'This app has no sessions: the broker keeps no cookie for it.'
      : 'This app uses the cookie of its session, and gets no token: send the user to /connect/{client_id}, and requests with the cookie.',
    reason: isSession ? 'session_is_token' : 'session_is_cookie',
    isGuess: false,
  })

/** @throws BrokerError `token_refused`: a bound token needs a proof of its key; an unbound one must come without a proof (RFC 9449 7.1, 7.2). */
export function checkKey({ app, grant: { jkt } }: LiveGrant, proof: Proof | null): void {
  if (jkt === null && proof === null && app.dpop === 'optional') return
  if (jkt !== null && proof?.jkt === jkt) return
  const description =
    jkt === null
      ? 'This broker token is bound to no key: present it without a proof, or let the user connect again.'
      : 'This broker token is bound to a key: present it with a DPoP proof of that key.'
  const reason = jkt === null ? 'token_not_bound_to_key' : 'dpop_key_mismatch'
  throw new BrokerError('token_refused', { description, reason })
}
