import type { Grant, Store, SwapState } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
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
 * Renewal issues a broker token with a new `jti`. Until the new token is first used, the old one stays valid
 * and is answered with the same new token, so that a lost answer has no consequence.
 */
export interface Renewals {
  /** A newer token if the presented one is past half its lifetime; otherwise `null`, without a promise. */
  renewIfDue(
    grant: CurrentGrant,
    app: CurrentApp,
    presented: Claims,
  ): Promise<RenewedToken | null> | null
  /** A newer token in any case. @throws BrokerError `token_refused` if a newer token is already in use */
  renew(grant: CurrentGrant, app: CurrentApp, presented: Claims): Promise<RenewedToken>
}

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

  /** The grant's unused newer token, or a new one; `null`: a newer token is already in use. */
  const findOrCreate = async (grant: CurrentGrant, app: CurrentApp, jti: string) => {
    const nowSeconds = Math.floor(clock.now() / 1000)
    const isSuperseded = jti !== grant.jti
    if (isSuperseded && grant.jtiUsedAt !== null) return null
    // An unused newer token that is past half its own lifetime is replaced.
    if (isSuperseded && !isPastHalf(grant.issuedAtSeconds, grant.expiresAtSeconds)) {
      return issue(grant, nowSeconds)
    }
    const next = newToken(nowSeconds, app.tokenLifetimeSeconds)
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

  const isPastHalf = (iat: number, exp: number): boolean => clock.now() / 1000 >= (iat + exp) / 2

  const newToken = (
    issuedAtSeconds: number,
    lifetimeSeconds: number,
  ): Pick<Grant, 'jti' | 'issuedAtSeconds' | 'expiresAtSeconds'> => ({
    jti: random(16).toString('base64url'),
    issuedAtSeconds,
    expiresAtSeconds: issuedAtSeconds + lifetimeSeconds,
  })

  return {
    renewIfDue(grant, app, { iat, exp, jti }) {
      return isPastHalf(iat, exp) ? findOrCreate(grant, app, jti) : null
    },

    async renew(grant, app, { jti }) {
      const renewed = await findOrCreate(grant, app, jti)
      if (!renewed) throw new BrokerError('token_refused', { reason: 'grant_revoked' })
      return renewed
    },
  }
}
