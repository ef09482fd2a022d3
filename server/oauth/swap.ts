import type { Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { lifeLeft } from '../refresh/access-token.ts'
import type { AccessToken, TokenRequirement } from '../refresh/access-token.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
import type { Clock } from '../runtime.ts'
import type { Proof } from './dpop.ts'
import { reconnectUrl } from './reconnect-url.ts'
import type { Refresher } from '../refresh/refresher.ts'
import type { Renewals, RenewedToken } from './renewal.ts'
import { belongsTo, readLiveGrant, refused, tokenStatus } from './token-status.ts'
import type { LiveGrant } from './token-status.ts'
import type { Usage } from '../connections/usage.ts'

/** The app that a request names; one that gave no secret is taken at its word only if it is public. */
export interface NamedClient {
  id: string
  authenticated: boolean
}

/** A broker token, and who presents it. */
export interface Presented {
  brokerToken: string
  /** `null`: none was named, which is enough for a public app's token. */
  client: NamedClient | null
  /** That of the key that the token is bound to; `null`: presented as a bearer token. */
  proof: Proof | null
}

export interface SwapRequest extends Presented {
  /** Validity that the answer must have left, seconds; raised to the broker's own floor. */
  minTtlSeconds?: number | undefined
  /** Wants a token fetched after this request came. */
  force?: boolean | undefined
  /** Presented as a refresh token, which only apps served with `tokens: 'ellipsis'` hold. */
  asRefreshToken?: boolean | undefined
}

/** Ellipsis Drive's access token, and a newer broker token where that is due. */
export interface SwapAnswer {
  accessToken: AccessToken
  scope: string
  renewed: RenewedToken | null
}

/** Broker token in, access token out. */
export interface Swap {
  /** @throws BrokerError */
  swap(request: SwapRequest): Promise<SwapAnswer>
  /** Broker token in, newer broker token out. @throws BrokerError */
  renew(request: Presented): Promise<{ renewed: RenewedToken; scope: string; bound: boolean }>
  /** Gives up the grant of this token, expired or not (RFC 7009). `false`: the token means nothing here. */
  revoke(request: Omit<Presented, 'proof'>, address: string): Promise<boolean>
}

export function createSwap(needs: {
  store: Store
  tokens: BrokerTokens
  refresher: Refresher
  renewals: Renewals
  usage: Usage
  /** The same counts with the time each took, for metrics. */
  swaps: {
    begin(): number
    end(beganAt: number, appId: string | null, outcome: string): void
  }
  clock: Clock
  publicUrl: string
  minTtlSeconds: number
}): Swap {
  const { store, tokens, refresher, renewals, usage, swaps, clock, publicUrl } = needs
  const floor = needs.minTtlSeconds

  /** The same error, with the way out of it where the connection is what ended. */
  const withWayOut = async (error: unknown, claims: Claims): Promise<unknown> => {
    if (!(error instanceof BrokerError)) return error
    if (error.code !== 'connection_revoked' && error.code !== 'needs_reconnect') return error
    const app = await store.getApp(claims.clientId)
    if (!app) return error
    const url = reconnectUrl(publicUrl, app, claims.sub)
    return new BrokerError(error.code, { ...error.details, reconnectUrl: url })
  }

  /**
   * Refuses a `jti` that the grant doesn't hold; one used too late ends the grant (RFC 9700 4.14.2).
   * Answers whether it waited for a write.
   */
  const checkJti = async ({ grant, app }: LiveGrant, claims: Claims): Promise<boolean> => {
    const now = clock.now()
    const status = tokenStatus(grant, claims, now)
    if (status === 'unknown') throw refused()
    if (status !== 'late') {
      const first = status === 'current' && grant.jtiUsedAt === null
      if (first) await store.useJti({ grantId: grant.id, jti: grant.jti, now })
      return first
    }
    const event = { at: now, actor: 'system', action: 'grant.revoked', grantId: grant.id }
    const details = 'a superseded broker token was used, so one of two holders has a copy'
    const where = { connectionId: grant.connectionId, appId: app.id, details }
    await store.revokeGrants({ id: grant.id, now, events: [{ ...event, ...where }] })
    throw refused()
  }

  /**
   * @param known told of the app as soon as the token has proved it
   * @returns what the token says and stands on, and whether something was waited for since that was read
   */
  const open = async (
    { brokerToken, client, proof }: Presented,
    known?: (appId: string) => void,
  ): Promise<[Claims, LiveGrant, boolean]> => {
    const claims = await tokens.verify(brokerToken)
    known?.(claims.clientId)
    try {
      const live = await readLiveGrant(store, claims)
      checkClient(live.app, client)
      checkKey(live, proof)
      await proof?.use()
      const waited = await checkJti(live, claims)
      return [claims, live, waited || proof !== null]
    } catch (error) {
      throw await withWayOut(error, claims)
    }
  }

  /** The access token in memory, where it is enough; a dead connection's is not handed out. */
  const findCached = (live: LiveGrant, requirement: TokenRequirement): AccessToken | undefined => {
    const { id, generation, status } = live.connection
    if (requirement.fetchedAfter !== null || status !== 'active') return undefined
    const token = refresher.peek(id, generation)
    return token && lifeLeft(token, clock.now()) >= requirement.minTtlSeconds * 1000
      ? token
      : undefined
  }

  const swapOnce = async (
    request: SwapRequest,
    known: (appId: string) => void,
  ): Promise<SwapAnswer> => {
    const fetchedAfter = request.force === true ? clock.now() : null
    const [claims, live, waitedBefore] = await open(request, known)
    if (request.asRefreshToken === true && live.app.tokens !== 'ellipsis') {
      throw new BrokerError('unauthorized_client')
    }
    const minTtlSeconds = Math.max(request.minTtlSeconds ?? 0, floor)
    const requirement = { minTtlSeconds, fetchedAfter, evenIfPaused: false, appId: live.app.id }
    try {
      const cached = findCached(live, requirement)
      const accessToken = cached ?? (await refresher.get(live.connection.id, requirement))
      const renewal = renewals.ifDue(live.grant, live.app, claims)
      const renewed = await renewal
      // Much can end while one waits: a revocation holds from the moment of its commit.
      if (waitedBefore || !cached || renewal) await readLiveGrant(store, claims)
      usage.touch(live.grant.id)
      return { accessToken, scope: live.grant.scope, renewed }
    } catch (error) {
      throw await withWayOut(error, claims)
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
        const answer = await swapOnce(request, (known) => (appId = known))
        count('ok')
        return answer
      } catch (error) {
        count(error instanceof BrokerError ? error.code : 'server_error')
        throw error
      }
    },

    async renew(request) {
      const [claims, { grant, app }] = await open(request)
      const { scope, jkt } = grant
      return { renewed: await renewals.renew(grant, app, claims), scope, bound: jkt !== null }
    },

    async revoke({ brokerToken, client }, address) {
      const claims = await tokens.verify(brokerToken, { expired: 'accepted' }).catch(ignoreRefusal)
      const state =
        claims && (await store.getSwapState({ grantId: claims.grantId, kid: claims.kid }))
      if (!state || state.keyStatus === null || state.keyStatus === 'revoked') return false
      if (!belongsTo(state.grant, claims)) return false
      if (state.app) checkClient(state.app, client, 'revoke')
      const { id, appId, connectionId } = state.grant
      const now = clock.now()
      const event = { at: now, actor: 'app', action: 'grant.revoked', appId, connectionId }
      const events = [{ ...event, grantId: id, address, details: 'the app gave it up' }]
      return (await store.revokeGrants({ id, now, events })) > 0
    },
  }
}

function ignoreRefusal(error: unknown): undefined {
  if (!(error instanceof BrokerError)) throw error
}

/** The JWT's app must be the one that is named; a confidential one must have authenticated. */
function checkClient(
  app: LiveGrant['app'],
  client: NamedClient | null,
  purpose: 'swap' | 'revoke' = 'swap',
): void {
  const same = client === null || client.id === app.id
  if (same && (!app.confidential || client?.authenticated === true)) return
  const description =
    client === null && purpose === 'swap'
      ? 'This app has a secret: swap at /oauth/token, and authenticate there.'
      : 'This broker token belongs to another app, or the app did not authenticate.'
  throw new BrokerError('invalid_client', { description })
}

/** A token that is bound to a key comes with a proof of it, and only that (RFC 9449 7.1, 7.2). */
function checkKey({ app, grant: { jkt } }: LiveGrant, proof: Proof | null): void {
  if (jkt === null && proof === null && app.dpop === 'optional') return
  if (jkt !== null && proof?.jkt === jkt) return
  const description =
    jkt === null
      ? 'This broker token is bound to no key: present it without a proof, or let the user connect again.'
      : 'This broker token is bound to a key: present it with a DPoP proof of that key.'
  throw new BrokerError('token_refused', { description })
}
