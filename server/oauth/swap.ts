import type { Millis, Store, SwapState } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { checkTokenAccess } from './access-policy.ts'
import type { AppClaims, AppTokens } from './app-token.ts'
import type { AccessToken, TokenRequirement } from '../refresh/access-token.ts'
import { tokenRefused } from './broker-token.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
import type { Clock } from '../runtime.ts'
import type { Refresher } from '../refresh/refresher.ts'
import type { Renewals, RenewedToken } from './renewal.ts'
import { PROJECTS, includesScope } from './scope.ts'
import { checkClient } from './token-authentication.ts'
import type { PresentedToken, TokenAuthentication } from './token-authentication.ts'
import { isGrantOfToken, isGrantOver, readLiveGrant } from './token-status.ts'
import type { LiveGrant } from './token-status.ts'
import type { Usage } from '../connections/usage.ts'

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
  authentication: TokenAuthentication
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
  const { store, tokens, authentication, refresher, renewals, usage, appTokens, ...rest } = deps
  const { swaps, clock, publicUrl } = rest
  const { explain } = authentication

  const authenticateForDrive = async (
    request: PresentedToken,
    onVerified: (appId: string) => void,
  ): Promise<[Claims, LiveGrant, boolean]> => {
    const authenticated = await authentication.authenticate(request, 'drive', onVerified)
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
    const [claims, live, waitedBefore] = await authentication.authenticate(
      request,
      'swap',
      onVerified,
    )
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
    throw await authentication.addReconnectUrl(tokenRefused(reason), owner)
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
      const [claims, { grant, app }] = await authentication.authenticate(request, 'swap')
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

/** May the app get an access token for this grant? @throws BrokerError `scope_not_granted` */
function checkScope({ grant }: LiveGrant): void {
  if (!includesScope(grant.scope, PROJECTS)) throw new BrokerError('scope_not_granted')
}

function ignoreRefusal(error: unknown): undefined {
  if (!(error instanceof BrokerError)) throw error
}
