import type { Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
import type { Clock } from '../runtime.ts'
import { isGrantOver, readLiveGrant, tokenStatus } from './token-status.ts'
import type { LiveGrant } from './token-status.ts'

/** A valid broker token, as reported to its app. */
export interface IntrospectedToken {
  claims: Claims
  grant: LiveGrant['grant']
}

/** Token introspection (RFC 7662). Writes nothing: no `jti` counts as used. */
export interface Introspect {
  /** `null`: the token is of another app, or not valid. The two are not told apart. */
  introspect(brokerToken: string, appId: string): Promise<IntrospectedToken | null>
}

export function createIntrospect(deps: {
  store: Store
  tokens: BrokerTokens
  clock: Clock
}): Introspect {
  const { store, tokens, clock } = deps

  return {
    async introspect(brokerToken, appId) {
      try {
        const claims = await tokens.verify(brokerToken)
        if (claims.clientId !== appId) return null
        const live = await readLiveGrant(store, claims)
        const status = tokenStatus(live.grant, claims, clock.now())
        const isRefused = status === 'late' || status === 'unknown'
        return isRefused || isGrantOver(live, clock.now()) ? null : { claims, grant: live.grant }
      } catch (error) {
        const isInvalid =
          error instanceof BrokerError &&
          (error.code === 'token_refused' || error.code === 'connection_revoked')
        if (isInvalid) return null
        throw error
      }
    },
  }
}
