import type { App, Millis, Store, SwapState } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { GRANT_IS_PROXY, checkTokenAccess } from './access-policy.ts'
import type { AppClaims, AppTokens } from './app-token.ts'
import type { AccessToken, TokenRequirement } from '../refresh/access-token.ts'
import { tokenRefused } from './broker-token.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
import type { Clock } from '../runtime.ts'
import type { Proof } from './dpop.ts'
import type { Refresher } from '../refresh/refresher.ts'
import type { Renewals, RenewedToken } from './renewal.ts'
import { PROJECTS, includesScope } from './scope.ts'
import {
  isExpired,
  isGrantOfToken,
  isGrantOver,
  readLiveGrant,
  tokenStatus,
} from './token-status.ts'
import type { LiveGrant } from './token-status.ts'
import type { Usage } from '../connections/usage.ts'

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

interface SwapRequest extends PresentedToken {
  /** Minimum remaining lifetime of the access token, seconds. Raised to the broker's own minimum. */
  minTtlSeconds?: number | undefined
  /** Requires an access token that is fetched after this request. */
  force?: boolean | undefined
  /** Presented as a refresh token, which only apps with `tokens: 'ellipsis'` hold. */
  asRefreshToken?: boolean | undefined
}

/** A swap by the app alone: its app token takes the place of the user's broker token. */
interface AppSwapRequest extends Pick<SwapRequest, 'minTtlSeconds' | 'force'> {
  /** A verified app token; `swapForApp` checks that its app may still use it. */
  claims: AppClaims
  grantId: string
}

interface SwapAnswer {
  accessToken: AccessToken
  scope: string
  /** A newer broker token, if renewal is due. */
  renewed: RenewedToken | null
}

/** A broker token that was verified for a request to the Ellipsis Drive API. */
export interface Authorized {
  /** The state when the token was verified. */
  live: LiveGrant
  /** Reads the state again. @throws BrokerError once key, grant, app or connection have ended */
  check(): Promise<LiveGrant>
  /** Names the app in an error of this request, and adds `reconnect_url` if reconnecting helps. */
  explain(error: unknown): Promise<unknown>
}

/** The app and the connection (`sub`) of a grant. */
type GrantOwner = Pick<Claims, 'clientId' | 'sub'>

/** Broker token in, access token out. */
export interface Swap {
  /** @throws BrokerError */
  swap(request: SwapRequest): Promise<SwapAnswer>
  /**
   * Verifies a broker token as a swap does, for a request that the broker sends to Ellipsis Drive itself.
   * @throws BrokerError `token_refused`, `connection_revoked`, `invalid_client`, `scope_not_granted`
   */
  authorize(request: PresentedToken): Promise<Authorized>
  /**
   * App token in, access token of one of the app's users out. Its refreshes wait for their turn. An error with
   * `reconnectUrl` concerns the grant; `token_refused` without it, the app token.
   * @throws BrokerError `grant_not_found`, and what `swap` throws
   */
  swapForApp(request: AppSwapRequest): Promise<Omit<SwapAnswer, 'renewed'>>
  /** Broker token in, newer broker token out. @throws BrokerError */
  renew(request: PresentedToken): Promise<{ renewed: RenewedToken; scope: string; bound: boolean }>
  /** Revokes the token's grant, also if the token has expired (RFC 7009). `false`: nothing to revoke. */
  revoke(request: Omit<PresentedToken, 'proof'>, address: string): Promise<boolean>
}

export function createSwap(deps: {
  store: Store
  tokens: BrokerTokens
  refresher: Refresher
  renewals: Renewals
  usage: Usage
  appTokens: Pick<AppTokens, 'authenticate' | 'check'>
  /** Counts and durations, for metrics. */
  swaps: {
    begin(): number
    end(beganAt: number, appId: string | null, outcome: string): void
  }
  clock: Clock
  publicUrl: string
  minTtlSeconds: number
}): Swap {
  const { store, tokens, refresher, renewals, usage, appTokens, swaps, clock, publicUrl } = deps

  /** Adds `reconnect_url` to the error if reconnecting helps. */
  const explain = async (error: unknown, claims: GrantOwner): Promise<unknown> => {
    if (!(error instanceof BrokerError)) return error
    const details = { ...error.details, appId: claims.clientId }
    const named = new BrokerError(error.code, details)
    const isEnded = error.code === 'connection_revoked' || error.code === 'needs_reconnect'
    const helps = isEnded || error.details.reason === GRANT_IS_PROXY
    return helps ? addReconnectUrl(named, claims) : named
  }

  const addReconnectUrl = async (error: BrokerError, claims: GrantOwner): Promise<BrokerError> => {
    const app = await store.getApp(claims.clientId)
    if (!app) return error
    const url = reconnectUrl(publicUrl, app, claims.sub)
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

  /**
   * Verifies a presented token and reads its current state.
   * @param onVerified called with the app's id as soon as the token proves it
   * @returns the claims, the state, and whether something was awaited since the state was read
   */
  const authenticateToken = async (
    { brokerToken, client, proof, isSession = false }: PresentedToken,
    onVerified?: (appId: string) => void,
    purpose: 'swap' | 'drive' = 'swap',
  ): Promise<[Claims, LiveGrant, boolean]> => {
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

  const authenticateForDrive = async (
    request: PresentedToken,
    onVerified: (appId: string) => void,
  ): Promise<[Claims, LiveGrant, boolean]> => {
    const authenticated = await authenticateToken(request, onVerified, 'drive')
    const [claims, { grant }] = authenticated
    if (includesScope(grant.scope, PROJECTS)) return authenticated
    throw await explain(new BrokerError('scope_not_granted'), claims)
  }

  const checkAccess = ({ app, grant }: LiveGrant): void =>
    checkTokenAccess({ app, granted: grant.policy }, publicUrl)

  /** @param now when the request came */
  const requirementOf = (
    { minTtlSeconds, force }: Pick<SwapRequest, 'minTtlSeconds' | 'force'>,
    appId: string,
    now: Millis,
  ): TokenRequirement => ({
    minTtlSeconds: Math.max(minTtlSeconds ?? 0, deps.minTtlSeconds),
    fetchedAfter: force === true ? now : null,
    evenIfPaused: false,
    appId,
  })

  const swapToken = async (
    request: SwapRequest,
    onVerified: (appId: string) => void,
  ): Promise<SwapAnswer> => {
    const now = clock.now()
    const [claims, live, waitedBefore] = await authenticateToken(request, onVerified)
    checkScope(live)
    if (request.asRefreshToken === true && live.app.tokens !== 'ellipsis') {
      throw new BrokerError('unauthorized_client', { reason: 'tokens_option_is_broker' })
    }
    const requirement = requirementOf(request, live.app.id, now)
    try {
      checkAccess(live)
      const cached = refresher.findCached(live.connection, requirement)
      const accessToken = cached ?? (await refresher.get(live.connection.id, requirement))
      const renewal = renewals.renewIfDue(live.grant, live.app, claims)
      const renewed = await renewal
      // Check again after a wait: a revocation or a narrower policy holds from the moment of its commit.
      if (waitedBefore || !cached || renewal) checkAccess(await readLiveGrant(store, claims))
      usage.touch(live.grant.id)
      return { accessToken, scope: live.grant.scope, renewed }
    } catch (error) {
      throw await explain(error, claims)
    }
  }

  /**
   * The grant, if it is the app's. Its broker token may have expired: the app needs none.
   * @throws BrokerError `grant_not_found`; `token_refused` for the app token
   */
  const readGrantOfApp = async ({ claims, grantId }: AppSwapRequest): Promise<SwapState> => {
    const state = await store.getSwapState({ grantId, kid: claims.kid })
    if (state?.app?.id === claims.clientId) {
      appTokens.check(claims, state.app, state.keyStatus)
      return state
    }
    await appTokens.authenticate(claims)
    throw new BrokerError('grant_not_found')
  }

  /** @throws BrokerError if the grant or its connection has ended */
  const checkLive = async (state: SwapState): Promise<LiveGrant> => {
    const { grant, app, connection } = state
    const live = { grant, app: app as LiveGrant['app'], connection }
    if (connection.status === 'revoked') throw new BrokerError('connection_revoked')
    const reason = grant.revokedAt !== null ? 'grant_revoked' : 'grant_over'
    if (grant.revokedAt === null && !isGrantOver(live, clock.now())) return live
    const owner = { clientId: grant.appId, sub: grant.connectionId }
    throw await addReconnectUrl(tokenRefused(reason), owner)
  }

  const swapForApp = async (request: AppSwapRequest): Promise<Omit<SwapAnswer, 'renewed'>> => {
    const { clientId } = request.claims
    const requirement = { ...requirementOf(request, clientId, clock.now()), isPaced: true }
    const state = await readGrantOfApp(request)
    try {
      const live = await checkLive(state)
      checkScope(live)
      checkAccess(live)
      const cached = refresher.findCached(live.connection, requirement)
      const accessToken = cached ?? (await refresher.get(live.connection.id, requirement))
      // As in `swapToken`: a revocation holds from the moment of its commit.
      if (!cached) checkAccess(await checkLive(await readGrantOfApp(request)))
      usage.touch(live.grant.id)
      return { accessToken, scope: live.grant.scope }
    } catch (error) {
      throw await explain(error, {
        clientId: state.grant.appId,
        sub: state.grant.connectionId,
      })
    }
  }

  /** Counts a swap by its outcome. @param swap calls `onVerified` as soon as the app is known */
  const counted = async <Answer>(
    swap: (onVerified: (appId: string) => void) => Promise<Answer>,
  ): Promise<Answer> => {
    const beganAt = swaps.begin()
    let appId: string | null = null
    const count = (outcome: string): void => {
      usage.count('swap', appId, outcome)
      swaps.end(beganAt, appId, outcome)
    }
    try {
      const answer = await swap((verified) => (appId = verified))
      count('ok')
      return answer
    } catch (error) {
      count(error instanceof BrokerError ? error.code : 'server_error')
      throw error
    }
  }

  return {
    swap: (request) => counted((onVerified) => swapToken(request, onVerified)),

    swapForApp: (request) =>
      counted((onVerified) => {
        onVerified(request.claims.clientId)
        return swapForApp(request)
      }),

    async authorize(request) {
      let appId: string | null = null
      const [claims, live] = await authenticateForDrive(request, (id) => (appId = id)).catch(
        (error: unknown) => {
          usage.count('drive', appId, error instanceof BrokerError ? error.code : 'server_error')
          throw error
        },
      )
      const explainThis = (error: unknown) => explain(error, claims)
      const check = async (): Promise<LiveGrant> => {
        try {
          const now = await readLiveGrant(store, claims)
          if (isGrantOver(now, clock.now())) throw tokenRefused('grant_over')
          return now
        } catch (error) {
          throw await explainThis(error)
        }
      }
      return { live, check, explain: explainThis }
    },

    async renew(request) {
      const [claims, { grant, app }] = await authenticateToken(request)
      const { scope, jkt } = grant
      return { renewed: await renewals.renew(grant, app, claims), scope, bound: jkt !== null }
    },

    async revoke({ brokerToken, client }, address) {
      const claims = await tokens.verify(brokerToken, { expired: 'accepted' }).catch(ignoreRefusal)
      const state =
        claims && (await store.getSwapState({ grantId: claims.grantId, kid: claims.kid }))
      if (!state || state.keyStatus === null || state.keyStatus === 'revoked') return false
      if (!isGrantOfToken(state.grant, claims)) return false
      if (state.app) checkClient(state.app, client, 'revoke')
      const { id, appId, connectionId } = state.grant
      const now = clock.now()
      const event = {
        at: now,
        actor: 'app',
        action: 'grant.revoked',
        appId,
        connectionId,
        grantId: id,
        address,
        details: 'revoked by the app',
      }
      return (await store.revokeGrants({ id, now, events: [event] })) > 0
    },
  }
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

/** May the app get an access token for this grant? @throws BrokerError `scope_not_granted` */
function checkScope({ grant }: LiveGrant): void {
  if (!includesScope(grant.scope, PROJECTS)) throw new BrokerError('scope_not_granted')
}

function ignoreRefusal(error: unknown): undefined {
  if (!(error instanceof BrokerError)) throw error
}

/**
 * The token must be of the named app; a confidential app must have authenticated. At the proxy, which takes the
 * token alone, that is left to apps that have chosen it (`access: 'proxy'`): they have no other use for a token.
 */
function checkClient(
  app: LiveGrant['app'],
  client: NamedClient | null,
  purpose: 'swap' | 'drive' | 'revoke',
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
