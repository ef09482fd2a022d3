import { associatedData } from '../../db/associated-data.ts'
import type { Connection, Millis } from '../../db/store.ts'
import type { Secret } from '../secret.ts'
import type { Vault } from '../crypto/vault.ts'

/** A decrypted access token of Ellipsis Drive. */
export interface AccessToken {
  value: Secret
  expiresAt: Millis
  /** When the call that returned it began. */
  fetchedAt: Millis
  generation: number
}

/** What an access token must satisfy. */
export interface TokenRequirement {
  /** Minimum remaining lifetime, seconds. A token that was just fetched always satisfies it. */
  minTtlSeconds: number
  /** Forced refresh: the call that fetched the token must have begun after this time. */
  fetchedAfter: Millis | null
  /** Requested by an admin: also call for a connection that is paused after failures. */
  evenIfPaused: boolean
  /** The app that asks, for counting; `null`: an admin or the broker itself. */
  appId: string | null
  /** No user waits: a refresh waits for its turn among such refreshes (`RefreshPace`). */
  isPaced?: boolean
}

/** Clock corrections up to this size are ignored. */
const CLOCK_SKEW_TOLERANCE_MS = 1000

/**
 * Remaining lifetime of a token, milliseconds. 0 if the token was fetched in the future: the clock was set
 * back since, so the expiry is unknown.
 */
export const remainingLifetimeMs = (
  { expiresAt, fetchedAt }: Pick<AccessToken, 'expiresAt' | 'fetchedAt'>,
  now: Millis,
): number => (fetchedAt > now + CLOCK_SKEW_TOLERANCE_MS ? 0 : expiresAt - now)

/** Decrypts the stored access token, whether it has expired or not. */
export function openStored(connection: Connection, vault: Vault): AccessToken | null {
  const { id, accessToken, accessTokenExpiresAt, accessTokenFetchedAt, generation } = connection
  if (!accessToken || accessTokenExpiresAt === null || accessTokenFetchedAt === null) return null
  const value = vault.open(associatedData.accessToken(id), accessToken)
  return { value, expiresAt: accessTokenExpiresAt, fetchedAt: accessTokenFetchedAt, generation }
}
