import type { Millis, Store, SwapState } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { tokenRefused } from './broker-token.ts'
import type { Claims } from './broker-token.ts'
import { grantEndSeconds } from './grants.ts'

/** The state behind a broker token, with everything present and valid. */
export interface LiveGrant {
  grant: SwapState['grant']
  app: NonNullable<SwapState['app']>
  connection: SwapState['connection']
}

/** A superseded token stays valid for this long after the first use of its successor. */
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

/**
 * The same for endpoints that only look at a token, so that no `jti` counts as used: refuses what a swap would.
 * @throws BrokerError `token_refused`, `connection_revoked`
 */
export async function inspectGrant(store: Store, claims: Claims, now: Millis): Promise<LiveGrant> {
  const live = await readLiveGrant(store, claims)
  const status = tokenStatus(live.grant, claims, now)
  if (status === 'late') throw tokenRefused('token_superseded')
  if (status === 'unknown') throw tokenRefused('token_unknown')
  if (isGrantOver(live, now)) throw tokenRefused('grant_over')
  return live
}

/** Does the grant belong to the app and the connection that the token names? */
export const isGrantOfToken = (grant: SwapState['grant'], { clientId, sub }: Claims): boolean =>
  grant.appId === clientId && grant.connectionId === sub

/** Is the grant older than its app allows? */
export const isGrantOver = ({ grant, app }: LiveGrant, now: Millis): boolean =>
  grantEndSeconds(grant, app) * 1000 <= now

export const isExpired = ({ exp }: Claims, now: Millis): boolean => exp * 1000 <= now

/**
 * `current`: the grant's token. `alternative`: another successor of the same token; none of them was used yet.
 * `previous`: superseded but still valid. `late`: used although another token took its place, so there are two
 * holders. `unknown`: not known to this store, as after a restored backup.
 */
export function tokenStatus(
  grant: SwapState['grant'],
  claims: Claims,
  now: Millis,
): 'current' | 'alternative' | 'previous' | 'late' | 'unknown' {
  const { jti, iat } = claims
  if (jti === grant.jti) return 'current'
  if (jti === grant.previousJti) {
    // Who comes with it after its expiry has no successor, so somebody else may have it.
    const expiredSince = isExpired(claims, now) ? grant.issuedAtSeconds * 1000 : now
    return now - (grant.jtiUsedAt ?? expiredSince) < OVERLAP_MS ? 'previous' : 'late'
  }
  const { successorsSinceSeconds: since, issuedAtSeconds } = grant
  if (since !== null && iat >= since && iat <= issuedAtSeconds) {
    return grant.jtiUsedAt === null && !isExpired(claims, now) ? 'alternative' : 'late'
  }
  return iat < issuedAtSeconds ? 'late' : 'unknown'
}
