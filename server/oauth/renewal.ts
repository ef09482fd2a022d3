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

type LiveGrant = SwapState['grant']
type LiveApp = NonNullable<SwapState['app']>

/**
 * Renewal: a JWT with a new `jti`. Until the new one is first used the old one works on and is answered
 * with that same new one, so that a lost answer costs nothing.
 */
export interface Renewals {
  /** A newer token if the one presented is past half its life; otherwise `null`, with nothing to wait for. */
  ifDue(grant: LiveGrant, app: LiveApp, presented: Claims): Promise<RenewedToken | null> | null
  /** A newer token in any case. @throws BrokerError `token_refused` if it was superseded by one in use */
  renew(grant: LiveGrant, app: LiveApp, presented: Claims): Promise<RenewedToken>
}

export function createRenewals(needs: {
  store: Store
  tokens: BrokerTokens
  clock: Clock
  random: Random
}): Renewals {
  const { store, tokens, clock, random } = needs

  const present = async (grant: LiveGrant, nowSeconds: number): Promise<RenewedToken> => ({
    token: await tokens.sign(grant),
    expiresIn: grant.expiresAtSeconds - nowSeconds,
  })

  /** The grant's pending token, or a new one; `null`: the grant has moved on. */
  const find = async (grant: LiveGrant, app: LiveApp, jti: string) => {
    const nowSeconds = Math.floor(clock.now() / 1000)
    const superseded = jti !== grant.jti
    if (superseded && grant.jtiUsedAt !== null) return null
    // A pending token that nobody fetched for half its life is of little use: a newer one replaces it.
    const { issuedAtSeconds, expiresAtSeconds } = grant
    if (superseded && !isPastHalf(issuedAtSeconds, expiresAtSeconds))
      return present(grant, nowSeconds)
    const next = newToken(nowSeconds, app.tokenLifetimeSeconds)
    const expected = { grantId: grant.id, expectedJti: grant.jti, previousJti: jti }
    if (await store.renewGrant({ ...expected, ...next }))
      return present({ ...grant, ...next }, nowSeconds)
    // Another request renewed it between our read and our write: its token is the pending one.
    const now = await store.getGrant(grant.id)
    return now?.previousJti === jti && now.jtiUsedAt === null ? present(now, nowSeconds) : null
  }

  const isPastHalf = (iat: number, exp: number): boolean => clock.now() / 1000 >= (iat + exp) / 2

  const newToken = (
    issuedAtSeconds: number,
    lifeSeconds: number,
  ): Pick<Grant, 'jti' | 'issuedAtSeconds' | 'expiresAtSeconds'> => ({
    jti: random(16).toString('base64url'),
    issuedAtSeconds,
    expiresAtSeconds: issuedAtSeconds + lifeSeconds,
  })

  return {
    ifDue(grant, app, { iat, exp, jti }) {
      return isPastHalf(iat, exp) ? find(grant, app, jti) : null
    },

    async renew(grant, app, { jti }) {
      const renewed = await find(grant, app, jti)
      if (!renewed) throw new BrokerError('token_refused')
      return renewed
    },
  }
}
