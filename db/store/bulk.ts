import type { Connection, Millis, NewEvent } from '../model.ts'
import type { ConnectionFilter } from './listing.ts'

/**
 * A revocation of many connections at once. First those that match are collected, so that an admin can see
 * how many and whom, and confirms exactly these; then they are revoked in small batches. Both go on after
 * a restart, by one process at a time.
 */
export interface BulkRevocation {
  id: number
  status: BulkStatus
  /** Which were asked for; `null`: they were picked one by one. */
  filter: ConnectionFilter | null
  /** Who answers for it, as in events, and from where: who asked, and from then on who confirmed it. */
  actor: string
  address: string | null
  createdAt: Millis
  /** When it was confirmed. */
  startedAt: Millis | null
  /** When it was done or cancelled. */
  endedAt: Millis | null
  /** Connections that were collected, and what became of them; the rest is still to do. */
  total: number
  revoked: number
  /** Somebody else had revoked them before. */
  skipped: number
  failed: number
  /** Where collecting goes on; the listing's own words. */
  cursor: string | null
  /** Why it stands still, for people; `null`: it doesn't. */
  trouble: string | null
  leaseOwner: string | null
  leaseUntil: Millis | null
}

/** `ready`: collected, and waits to be confirmed. */
export type BulkStatus = UnendedStatus | 'done' | 'cancelled'
type UnendedStatus = 'collecting' | 'ready' | 'running'

export type NewBulk = Pick<
  BulkRevocation,
  'filter' | 'actor' | 'address' | 'createdAt' | 'leaseOwner' | 'leaseUntil'
>

/** A connection that a bulk revocation has still to do, or failed at. */
export interface BulkItem extends Pick<Connection, 'username' | 'status' | 'accountId'> {
  connectionId: string
  /** What failed, for people; `null`: still to do. */
  error: string | null
}

/** Work on a bulk revocation is its owner's, as long as the lease is: methods that fail that answer `false`. */
export interface BulkStore {
  /** A new one, `collecting`. Answers its id, which its events are given. */
  addBulk(bulk: NewBulk, events: (id: number) => NewEvent[]): Promise<number>
  getBulk(id: number): Promise<BulkRevocation | undefined>
  /** The newest first. */
  listBulks(limit: number): Promise<BulkRevocation[]>
  /** Those that are `collecting` or `running`. */
  hasBulkWork(): Promise<boolean>
  /**
   * Takes the oldest that is `collecting` or `running` and that nobody works on. A lease that ends more
   * than `longest` milliseconds ahead counts as ended.
   */
  takeBulk(lease: {
    owner: string
    now: Millis
    until: Millis
    longest: number
  }): Promise<BulkRevocation | undefined>
  freeBulk(lease: { id: number; owner: string; trouble: string | null }): Promise<void>
  /** Adds connections; known ones stay once. `cursor` `null`: that is all, and it becomes `ready`. */
  addBulkItems(items: {
    id: number
    owner: string
    until: Millis
    connectionIds: string[]
    cursor: string | null
  }): Promise<boolean>
  /** Confirmed by this actor: from `ready` to `running`. `false`: it isn't `ready`. */
  startBulk(
    bulk: Pick<BulkRevocation, 'id' | 'actor' | 'address'> & { now: Millis; events: NewEvent[] },
  ): Promise<boolean>
  /** Ends it as it is, if it is in any of these; who was revoked stays so. `false`: there is none, or it isn't. */
  cancelBulk(bulk: {
    id: number
    statuses: UnendedStatus[]
    now: Millis
    events: NewEvent[]
  }): Promise<boolean>
  /**
   * Revokes up to `limit` of those to do as `revokeConnection` does, each with its event by the bulk's
   * actor; at least one, and none is begun after `within` milliseconds. With none left it
   * becomes `done`. One that fails is kept with its error, the others go on.
   */
  revokeBulkItems(batch: {
    id: number
    owner: string
    now: Millis
    until: Millis
    limit: number
    within: number
  }): Promise<boolean>
  /** In no order. `failed`: only those that failed. */
  listBulkItems(filter: { id: number; failed: boolean; limit: number }): Promise<BulkItem[]>
}
