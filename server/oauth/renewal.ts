import type { Store, SwapState } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
import { grantEndSeconds, tokenTimes } from './grants.ts'
import type { Clock, Random } from '../runtime.ts'

/** A newer broker token of the same grant. */
export interface RenewedToken {
  token: string
  /** Seconds. */
  expiresIn: number
}

type CurrentGrant = SwapState['grant']
type CurrentApp = NonNullable<SwapState['app']>

/**
 * Renewal issues a broker token with a new `jti`, the successor of the presented one. Until a successor is first
 * used, the old token stays valid, so that a lost answer has no consequence. docs/design.md has the states.
 */
export interface Renewals {
  /** A newer token if the presented one is past half its lifetime; otherwise `null`, without a promise. */
  renewIfDue(
    grant: CurrentGrant,
    app: CurrentApp,
    presented: Claims,
  ): Promise<RenewedToken | null> | null
  /**
   * A newer token in any case.
   * @throws BrokerError `token_refused` if a newer token is already in use; `slow_down` if the presented one
   * had several successors already and the next one is not due
   */
  renew(grant: CurrentGrant, app: CurrentApp, presented: Claims): Promise<RenewedToken>
  /**
   * For the cookie of a session: the same token with a later expiry if it is past half its lifetime, otherwise
   * `null`. Its `jti` stays. Answers to requests at the same time may overtake each other, and a browser that
   * crashes comes back with an older cookie, so the browser may keep any of them.
   */
  extendIfDue(grant: CurrentGrant, app: CurrentApp, presented: Claims): Promise<RenewedToken | null>
}

/** An unused successor is repeated for this long: long enough for requests at the same time and for retries. */
const REPEAT_SECONDS = 60

export function createRenewals(deps: {
  store: Store
  tokens: BrokerTokens
  clock: Clock
  random: Random
}): Renewals {
  const { store, tokens, clock, random } = deps

  const issue = async (grant: CurrentGrant, nowSeconds: number): Promise<RenewedToken> => ({
    token: await tokens.sign(grant),
    expiresIn: grant.expiresAtSeconds - nowSeconds,
  })

  const isPastHalf = (iat: number, exp: number): boolean => clock.now() / 1000 >= (iat + exp) / 2

  /**
   * Does every holder of the token before it get the same unused successor? Two holders of a bearer token must
   * get different successors, or they could share the grant unnoticed. Another holder of a client's secret or of
   * a key (RFC 9449) does not exist.
   */
  const isRepeated = (grant: CurrentGrant, app: CurrentApp, nowSeconds: number): boolean => {
    if (isPastHalf(grant.issuedAtSeconds, grant.expiresAtSeconds)) return false
    const isBearer = grant.jkt === null && !app.confidential
    return !isBearer || nowSeconds < grant.issuedAtSeconds + REPEAT_SECONDS
  }

  /** A successor of the presented token, the unused one or a new one; `null`: none now. */
  const findOrCreate = async (grant: CurrentGrant, app: CurrentApp, jti: string) => {
    const now = clock.now()
    const nowSeconds = Math.floor(now / 1000)
    const isSuperseded = jti !== grant.jti
    if (isSuperseded) {
      if (grant.jtiUsedAt !== null) return null
      if (isRepeated(grant, app, nowSeconds)) return issue(grant, nowSeconds)
      if (nowSeconds < nextSuccessorSeconds(grant)) return null
    }
    const next = {
      jti: random(16).toString('base64url'),
      successorsSinceSeconds: isSuperseded ? firstSuccessorSeconds(grant) : null,
      ...tokenTimes(grant, app, now),
    }
    const expected = { grantId: grant.id, expectedJti: grant.jti, previousJti: jti }
    if (await store.renewGrant({ ...expected, ...next })) {
      return issue({ ...grant, ...next }, nowSeconds)
    }
    // Another request renewed the grant since it was read: return that request's token.
    const current = await store.getGrant(grant.id)
    return current?.previousJti === jti && current.jtiUsedAt === null
      ? issue(current, nowSeconds)
      : null
  }

  const isDue = (grant: CurrentGrant, app: CurrentApp, { iat, exp }: Claims): boolean =>
    isPastHalf(iat, exp) && exp < grantEndSeconds(grant, app)

  return {
    renewIfDue(grant, app, presented) {
      // No answer to a page has the token of its session.
      if (app.session === 'cookie') return null
      return isDue(grant, app, presented) ? findOrCreate(grant, app, presented.jti) : null
    },

    async extendIfDue(grant, app, presented) {
      if (!isDue(grant, app, presented)) return null
      const now = clock.now()
      const nowSeconds = Math.floor(now / 1000)
      // Another request has extended it.
      if (!isPastHalf(grant.issuedAtSeconds, grant.expiresAtSeconds))
        return issue(grant, nowSeconds)
      const { id: grantId, jti } = grant
      const times = tokenTimes(grant, app, now)
      const same = {
        grantId,
        expectedJti: jti,
        jti,
        previousJti: jti,
        successorsSinceSeconds: null,
      }
      const isExtended = await store.renewGrant({ ...same, ...times })
      return isExtended ? issue({ ...grant, ...times }, nowSeconds) : null
    },

    async renew(grant, app, { jti }) {
      const renewed = await findOrCreate(grant, app, jti)
      if (renewed) return renewed
      const retryAfter = nextSuccessorSeconds(grant) - Math.floor(clock.now() / 1000)
      if (jti !== grant.jti && grant.jtiUsedAt === null && retryAfter > 0) {
        throw new BrokerError('slow_down', { retryAfter, reason: 'renewed_too_often' })
      }
      throw new BrokerError('token_refused', { reason: 'token_superseded' })
    },
  }
}

/** When the first of the previous token's successors was issued, seconds since the epoch. */
const firstSuccessorSeconds = (grant: CurrentGrant): number =>
  grant.successorsSinceSeconds ?? grant.issuedAtSeconds

/**
 * When the previous token may get another successor, seconds since the epoch. The time between two doubles:
 * otherwise, who presents the old token all the time would always hold the successor that the app gets.
 */
const nextSuccessorSeconds = (grant: CurrentGrant): number =>
  2 * grant.issuedAtSeconds - firstSuccessorSeconds(grant)
