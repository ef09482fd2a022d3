import type { Millis, Store, SwapState } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { tokenRefused } from './broker-token.ts'
import type { Claims } from './broker-token.ts'

/** The state behind a broker token, with everything present and valid. */
export interface LiveGrant {
  grant: SwapState['grant']
  app: NonNullable<SwapState['app']>
  connection: SwapState['connection']
}

/** A superseded token stays valid for this long after the first use of the newer one. */
const OVERLAP_MS = 5 * 60_000

/**
 * Reads the current state behind a token: its signing key, grant, app and connection.
 * @throws BrokerError `token_refused`, `connection_revoked` if one of them is missing or revoked
 */
export async function readLiveGrant(store: Store, claims: Claims): Promise<LiveGrant> {
  const { grantId, kid } = claims
  const state = await store.getSwapState({ grantId, kid })
  if (!state) throw tokenRefused('grant_unknown')
  if (state.keyStatus === null || state.keyStatus === 'revoked')
    throw tokenRefused('signing_key_revoked')
  const { grant, app, connection } = state
  if (!isGrantOfToken(grant, claims)) throw tokenRefused('grant_mismatch')
  if (!app) throw tokenRefused('app_removed')
  if (connection.status === 'revoked') throw new BrokerError('connection_revoked')
  if (grant.revokedAt !== null) throw tokenRefused('grant_revoked')
  return { grant, app, connection }
}

/** Does the grant belong to the app and the connection that the token names? */
export const isGrantOfToken = (grant: SwapState['grant'], { clientId, sub }: Claims): boolean =>
  grant.appId === clientId && grant.connectionId === sub

/**
 * `current`: the grant's token. `previous`: superseded but still valid. `late`: superseded and used too late.
 * `unknown`: not known to this store, as after a restored backup.
 */
export function tokenStatus(
  grant: SwapState['grant'],
  { jti, iat }: Claims,
  now: Millis,
): 'current' | 'previous' | 'late' | 'unknown' {
  if (jti === grant.jti) return 'current'
  if (jti !== grant.previousJti) return iat < grant.issuedAtSeconds ? 'late' : 'unknown'
  return grant.jtiUsedAt === null || now - grant.jtiUsedAt < OVERLAP_MS ? 'previous' : 'late'
}
