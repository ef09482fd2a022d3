import type { Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { BrokerTokens, Claims } from './broker-token.ts'
import type { Clock } from '../runtime.ts'
import { readLiveGrant, tokenStatus } from './token-status.ts'
import type { LiveGrant } from './token-status.ts'

/** A broker token that is good, as its app is told. */
export interface Introspected {
  claims: Claims
  grant: LiveGrant['grant']
}

/** Looks at broker tokens without using them (RFC 7662): nothing is written, no `jti` counts as used. */
export interface Introspect {
  /** `null`: it isn't that app's, or it isn't good (any more); which of these is nobody's business. */
  introspect(brokerToken: string, appId: string): Promise<Introspected | null>
}

export function createIntrospect(needs: {
  store: Store
  tokens: BrokerTokens
  clock: Clock
}): Introspect {
  const { store, tokens, clock } = needs

  const look = async (brokerToken: string, appId: string): Promise<Introspected | null> => {
    const claims = await tokens.verify(brokerToken)
    if (claims.clientId !== appId) return null
    const { grant } = await readLiveGrant(store, claims)
    const status = tokenStatus(grant, claims, clock.now())
    return status === 'current' || status === 'previous' ? { claims, grant } : null
  }

  return {
    async introspect(brokerToken, appId) {
      try {
        return await look(brokerToken, appId)
      } catch (error) {
        const ended =
          error instanceof BrokerError &&
          (error.code === 'token_refused' || error.code === 'connection_revoked')
        if (ended) return null
        throw error
      }
    },
  }
}
