import type { StaleReason, Millis, NewEvent, NewTokens, Sealed } from '../model.ts'

/** What is known of a failed refresh, and when the next one may be. */
export interface Failure {
  /** For people; never a secret. */
  lastError: string
  retryAt: Millis | null
}

/**
 * One refresh of a connection at a time, and what it brings. Leases are measured by the steady clock, which
 * the processes on one store share: it never jumps.
 */
export interface RefreshStore {
  /**
   * Takes the right to refresh. `false`: the generation moved, the connection is revoked, or another
   * lease holds. A lease that ends more than `longest` milliseconds ahead counts as ended, so that no row
   * stays locked; so does that of `orphaned`, whose process has died. Taking over what was not freed makes
   * the connection doubtful: its answer may be lost.
   */
  takeLease(lease: {
    id: string
    expectedGeneration: number
    owner: string
    now: Millis
    until: Millis
    longest: number
    orphaned: string | null
  }): Promise<boolean>
  /** Lengthens one's own lease; `false`: it is no longer held. */
  extendLease(lease: { id: string; owner: string; until: Millis }): Promise<boolean>
  /** Frees one's own lease; another's is left alone. */
  freeLease(lease: { id: string; owner: string }): Promise<void>
  /** Leases that weren't freed, also those that have ended; the earliest first. */
  listLeases(limit: number): Promise<{ id: string; leaseOwner: string; leaseUntil: Millis }[]>
  /**
   * Ids of unrevoked connections that failed and whose pause has ended at `retryBefore`, the earliest first;
   * none that failed thirty times in a row.
   */
  listFailed(bounds: { retryBefore: Millis; limit: number }): Promise<string[]>
  /**
   * Stores refreshed tokens where the generation is still the one read and the connection isn't revoked:
   * status `active`, `staleReason` cleared, generation raised. The lease ends, whoever holds it: what its holder
   * read is out of date. `failure`: upstream gave no access token with them, which counts as another
   * failure; without it, failures are forgotten.
   */
  saveTokens(refreshed: {
    id: string
    expectedGeneration: number
    tokens: NewTokens
    previousRefreshToken: Sealed | null
    failure?: Failure | null
    now: Millis
    events: NewEvent[]
  }): Promise<boolean>
  /**
   * Records a failed refresh and frees the lease, where no other holds it, the generation is still the one
   * read, and the connection isn't revoked. Never raises the generation, so a late good answer still
   * lands. `dropPrevious`: the previous refresh token was tried and refused; overwrite it. `staleReason`: a new
   * one; without it, what there was stays.
   */
  saveFailure(
    failure: Failure & {
      id: string
      expectedGeneration: number
      owner: string
      status: 'active' | 'needs_reconnect'
      staleReason?: StaleReason | null
      dropPrevious: boolean
      events: NewEvent[]
    },
  ): Promise<boolean>
}
