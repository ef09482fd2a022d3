import type { Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
import type { Clock } from '../runtime.ts'
import { inspectGrant } from './token-status.ts'
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
        const { grant } = await inspectGrant(store, claims, clock.now())
        return { claims, grant }
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
