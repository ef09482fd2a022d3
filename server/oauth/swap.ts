import type { App, Millis, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { remainingLifetimeMs } from '../refresh/access-token.ts'
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
}

interface SwapRequest extends PresentedToken {
  /** Minimum remaining lifetime of the access token, seconds. Raised to the broker's own minimum. */
  minTtlSeconds?: number | undefined
  /** Requires an access token that is fetched after this request. */
  force?: boolean | undefined
  /** Presented as a refresh token, which only apps with `tokens: 'ellipsis'` hold. */
  asRefreshToken?: boolean | undefined
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

/** Broker token in, access token out. */
export interface Swap {
  /** @throws BrokerError */
  swap(request: SwapRequest): Promise<SwapAnswer>
  /**
   * Verifies a broker token as a swap does, for a request that the broker sends to Ellipsis Drive itself.
   * @throws BrokerError `token_refused`, `connection_revoked`, `invalid_client`, `scope_not_granted`
   */
  authorize(request: PresentedToken): Promise<Authorized>
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
  /** Counts and durations, for metrics. */
  swaps: {
    begin(): number
    end(beganAt: number, appId: string | null, outcome: string): void
  }
  clock: Clock
  publicUrl: string
  minTtlSeconds: number
}): Swap {
  const { store, tokens, refresher, renewals, usage, swaps, clock, publicUrl } = deps

  /** Adds `reconnect_url` to the error if reconnecting helps. */
  const explain = async (error: unknown, claims: Claims): Promise<unknown> => {
    if (!(error instanceof BrokerError)) return error
    const details = { ...error.details, appId: claims.clientId }
    const named = new BrokerError(error.code, details)
    const isEnded = error.code === 'connection_revoked' || error.code === 'needs_reconnect'
    return isEnded ? addReconnectUrl(named, claims) : named
  }

  const addReconnectUrl = async (error: BrokerError, claims: Claims): Promise<BrokerError> => {
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
    { brokerToken, client, proof }: PresentedToken,
    onVerified?: (appId: string) => void,
  ): Promise<[Claims, LiveGrant, boolean]> => {
    const claims = await tokens.verify(brokerToken, { expired: 'accepted' })
    onVerified?.(claims.clientId)
    try {
      const live = await readLiveGrant(store, claims)
      checkClient(live.app, client)
      checkKey(live, proof)
      await proof?.use()
      const checked = await checkJti(live, claims)
      return [claims, checked, checked !== live || proof !== null]
    } catch (error) {
      throw await explain(error, claims)
    }
  }

  /** The cached access token, if it satisfies the requirement and the connection is active. */
  const findCached = (live: LiveGrant, requirement: TokenRequirement): AccessToken | undefined => {
    const { id, generation, status } = live.connection
    if (requirement.fetchedAfter !== null || status !== 'active') return undefined
    const token = refresher.getCached(id, generation)
    if (!token) return undefined
    const remainingMs = remainingLifetimeMs(token, clock.now())
    return remainingMs > 0 && remainingMs >= requirement.minTtlSeconds * 1000 ? token : undefined
  }

  const swapToken = async (
    request: SwapRequest,
    onVerified: (appId: string) => void,
  ): Promise<SwapAnswer> => {
    const fetchedAfter = request.force === true ? clock.now() : null
    const [claims, live, waitedBefore] = await authenticateToken(request, onVerified)
    if (!includesScope(live.grant.scope, PROJECTS)) throw new BrokerError('scope_not_granted')
    if (request.asRefreshToken === true && live.app.tokens !== 'ellipsis') {
      throw new BrokerError('unauthorized_client', { reason: 'tokens_option_is_broker' })
    }
    const minTtlSeconds = Math.max(request.minTtlSeconds ?? 0, deps.minTtlSeconds)
    const requirement = { minTtlSeconds, fetchedAfter, evenIfPaused: false, appId: live.app.id }
    try {
      const cached = findCached(live, requirement)
      const accessToken = cached ?? (await refresher.get(live.connection.id, requirement))
      const renewal = renewals.renewIfDue(live.grant, live.app, claims)
      const renewed = await renewal
      // Check again after a wait: a revocation holds from the moment of its commit.
      if (waitedBefore || !cached || renewal) await readLiveGrant(store, claims)
      usage.touch(live.grant.id)
      return { accessToken, scope: live.grant.scope, renewed }
    } catch (error) {
      throw await explain(error, claims)
    }
  }

  return {
    async swap(request) {
      const beganAt = swaps.begin()
      let appId: string | null = null
      const count = (outcome: string): void => {
        usage.count('swap', appId, outcome)
        swaps.end(beganAt, appId, outcome)
      }
      try {
        const answer = await swapToken(request, (verified) => (appId = verified))
        count('ok')
        return answer
      } catch (error) {
        count(error instanceof BrokerError ? error.code : 'server_error')
        throw error
      }
    },

    async authorize(request) {
      const [claims, live] = await authenticateToken(request)
      const explainThis = (error: unknown) => explain(error, claims)
      if (!includesScope(live.grant.scope, PROJECTS)) {
        throw await explainThis(new BrokerError('scope_not_granted'))
      }
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

/** The URL where the user of a connection can connect again, for one app. */
export function reconnectUrl(
  publicUrl: string,
  { id, redirectUris: [first, second] }: Pick<App, 'id' | 'redirectUris'>,
  connectionId: string,
): string {
  const url = new URL(`${publicUrl}/connect/${encodeURIComponent(id)}`)
  url.searchParams.set('connection', connectionId)
  if (first !== undefined && second !== undefined) url.searchParams.set('redirect_uri', first)
  return url.href
}

function ignoreRefusal(error: unknown): undefined {
  if (!(error instanceof BrokerError)) throw error
}

/** The token must be of the named app; a confidential app must have authenticated. */
function checkClient(
  app: LiveGrant['app'],
  client: NamedClient | null,
  purpose: 'swap' | 'revoke' = 'swap',
): void {
  const isSameApp = client === null || client.id === app.id
  if (isSameApp && (!app.confidential || client?.authenticated === true)) return
  const description =
    client === null && purpose === 'swap'
      ? 'This app is confidential: swap at /oauth/token, and authenticate there.'
      : 'This broker token belongs to another app, or the app did not authenticate.'
  const reason = isSameApp ? 'client_not_authenticated' : 'token_of_another_app'
  throw new BrokerError('invalid_client', { description, reason })
}

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
