import type { Millis, Store, SwapState } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Claims } from './broker-token.ts'

/** A swap's state of which every part is there and in order. */
export interface LiveGrant {
  grant: SwapState['grant']
  app: NonNullable<SwapState['app']>
  connection: SwapState['connection']
}

/** A superseded token works on for this long after the newer one was first used, milliseconds. */
const OVERLAP = 5 * 60_000

export const refused = (): BrokerError => new BrokerError('token_refused')

/**
 * Reads what a token stands on, now: its signing key, grant, app and connection.
 * @throws BrokerError `token_refused`, `connection_revoked` if any of that has ended
 */
export async function readLiveGrant(store: Store, claims: Claims): Promise<LiveGrant> {
  const { grantId, kid } = claims
  const state = await store.getSwapState({ grantId, kid })
  if (!state || state.keyStatus === null || state.keyStatus === 'revoked') throw refused()
  const { grant, app, connection } = state
  if (!belongsTo(grant, claims) || !app) throw refused()
  if (connection.status === 'revoked') throw new BrokerError('connection_revoked')
  if (grant.revokedAt !== null) throw refused()
  return { grant, app, connection }
}

/** A token is of the grant that it names, only if that is its app's and its connection's. */
export const belongsTo = (grant: SwapState['grant'], { clientId, sub }: Claims): boolean =>
  grant.appId === clientId && grant.connectionId === sub

/**
 * What a token is to its grant: the current one, the one before it while that works on, one that was
 * superseded and came too late, or one that this store never heard of (after a restored backup).
 */
export function tokenStatus(
  grant: SwapState['grant'],
  { jti, iat }: Claims,
  now: Millis,
): 'current' | 'previous' | 'late' | 'unknown' {
  if (jti === grant.jti) return 'current'
  if (jti !== grant.previousJti) return iat < grant.issuedAtSeconds ? 'late' : 'unknown'
  return grant.jtiUsedAt === null || now - grant.jtiUsedAt < OVERLAP ? 'previous' : 'late'
}
