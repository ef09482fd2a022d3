import { associatedData } from '../../db/associated-data.ts'
import type { Connection, Millis } from '../../db/store.ts'
import type { Secret } from '../secret.ts'
import type { Vault } from '../crypto/vault.ts'

/** An access token of Ellipsis Drive's, opened. */
export interface AccessToken {
  value: Secret
  expiresAt: Millis
  /** When the call that brought it began. */
  fetchedAt: Millis
  generation: number
}

/** What an access token must be. */
export interface TokenRequirement {
  /** Validity that it must have left, seconds. One that was just fetched always has enough. */
  minTtlSeconds: number
  /** Forced: its fetching must have begun after this time. */
  fetchedAfter: Millis | null
  /** An admin asks: try also a connection that is left alone for a while after failures. */
  evenIfPaused: boolean
  /** The app that asks, for counting; `null`: an admin, or the broker itself. */
  appId: string | null
}

/** Clocks are set back by this much without a word, milliseconds. */
const SLEWED = 1000

/**
 * How long a token lives on, milliseconds. What was fetched in the future tells that the clock was set back
 * since, and then nothing tells when it ends: nothing is left of it.
 */
export const lifeLeft = (
  { expiresAt, fetchedAt }: Pick<AccessToken, 'expiresAt' | 'fetchedAt'>,
  now: Millis,
): number => (fetchedAt > now + SLEWED ? 0 : expiresAt - now)

/** The stored access token, opened, whatever its age. */
export function openStored(connection: Connection, vault: Vault): AccessToken | null {
  const { id, accessToken, accessTokenExpiresAt, accessTokenFetchedAt, generation } = connection
  if (!accessToken || accessTokenExpiresAt === null || accessTokenFetchedAt === null) return null
  const value = vault.open(associatedData.accessToken(id), accessToken)
  return { value, expiresAt: accessTokenExpiresAt, fetchedAt: accessTokenFetchedAt, generation }
}
