import type { StaleReason, Millis, NewEvent, NewTokens, Sealed } from '../model.ts'

/** What is known of a failed refresh, and when the next attempt is allowed. */
export interface Failure {
  /** For people; never a secret. */
  lastError: string
  retryAt: Millis | null
}

/**
 * One refresh of a connection at a time, and its result. The store measures leases by its own clock: the hosts
 * of those who use it may disagree about the time.
 */
export interface RefreshStore {
  /**
   * Takes the lease. `false`: the generation changed, the connection is revoked, or another owner has the
   * lease. It lasts for `forMs` milliseconds. A lease that ends more than `maxLeaseMs` milliseconds ahead counts as
   * ended, because the store's clock was set back or began anew; so does that of the owner `deadOwner`, whose
   * process has died. Taking over a lease that was not released sets `staleReason`: the answer to that refresh may
   * be lost.
   */
  takeLease(lease: {
    id: string
    expectedGeneration: number
    owner: string
    forMs: number
    maxLeaseMs: number
    deadOwner: string | null
  }): Promise<boolean>
  /**
   * Makes the owner's lease last for `forMs` milliseconds from now; `null` releases it. `false`: this owner
   * doesn't hold it (any more).
   */
  updateLease(lease: { id: string; owner: string; forMs: number | null }): Promise<boolean>
  /** Leases that were not released, including expired ones; the earliest end first. */
  listLeases(limit: number): Promise<{ id: string; leaseOwner: string; leaseRemainingMs: number }[]>
  /**
   * Ids of unrevoked connections whose refresh failed and may be retried at `retryBefore`, the earliest first;
   * none that failed thirty times in a row.
   */
  listFailed(bounds: { retryBefore: Millis; limit: number }): Promise<string[]>
  /**
   * Stores refreshed tokens, if the generation is unchanged and the connection isn't revoked: status `active`,
   * staleReason cleared, generation incremented. The lease of any holder ends, because what the holder has read is out
   * of date. `failure`: upstream returned no access token, which counts as another failure; without it, failures are
   * reset. Rejections are reset in any case.
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
   * Records a failed refresh and releases the lease, if no other owner holds it, the generation is unchanged
   * and the connection isn't revoked. Never increments the generation, so that a late good answer is still
   * stored. `dropPrevious`: the previous refresh token was tried and rejected; overwrite it. `staleReason`: a new
   * staleReason; without it, or `null`, the stored one stays.
   */
  saveFailure(
    failure: Failure & {
      id: string
      expectedGeneration: number
      owner: string
      status: 'active' | 'needs_reconnect'
      /** Ellipsis Drive rejected the grant. */
      isRejection: boolean
      staleReason?: StaleReason | null
      dropPrevious: boolean
      events: NewEvent[]
    },
  ): Promise<boolean>
}
