import type { Connection, Millis, NewEvent } from '../model.ts'
import type { ConnectionFilter } from './connections.ts'

/**
 * A revocation of many connections at once. First, the connections that match are collected, so that an admin
 * sees how many and which, and confirms exactly these. Then they are revoked in small batches. Both continue
 * after a restart, in one process at a time.
 */
export interface BulkRevocation {
  id: number
  status: BulkStatus
  /** Which were requested; `null`: they were picked one by one. */
  filter: ConnectionFilter | null
  /** Actor and address for its events: who requested it, and later who confirmed it. */
  actor: string
  address: string | null
  createdAt: Millis
  /** When it was confirmed. */
  startedAt: Millis | null
  /** When it was done or cancelled. */
  endedAt: Millis | null
  /** Connections that were collected; those that are not counted below are still to do. */
  total: number
  revoked: number
  /** They were revoked already. */
  skipped: number
  failed: number
  /** Where collecting continues: a cursor of `walkConnections`. */
  cursor: string | null
  /** Why it makes no progress, for people; `null`: no trouble. */
  trouble: string | null
  leaseOwner: string | null
}

/** `ready`: collected, and waiting for confirmation. */
export type BulkStatus = 'collecting' | 'ready' | 'running' | 'done' | 'cancelled'

export type NewBulk = Pick<BulkRevocation, 'actor' | 'address' | 'createdAt'> &
  /** With the lease of its owner for `leaseForMs` milliseconds. */
  (
    | (Pick<BulkRevocation, 'filter' | 'leaseOwner'> & { leaseForMs: number })
    /** Picked one by one. */
    | { connectionIds: string[] }
  )

/** A connection that is still to be revoked, or could not be. */
export interface BulkItem extends Pick<Connection, 'username' | 'status' | 'accountId'> {
  connectionId: string
  /** Why it failed, for people; `null`: still to do. */
  error: string | null
}

/**
 * Only the owner of the lease works on a bulk revocation: methods return `false` to others. The store measures
 * the lease by its own clock; `forMs`: how long it lasts from now, milliseconds.
 */
export interface BulkStore {
  /**
   * Adds one that is `collecting`; or, of `connectionIds`, one that is `ready` at once with those of them that are
   * not revoked. Returns its id, which is passed to `events`, and higher than those before.
   */
  addBulk(bulk: NewBulk, events: (id: number) => NewEvent[]): Promise<number>
  getBulk(id: number): Promise<BulkRevocation | undefined>
  /** The newest first. */
  listBulks(limit: number): Promise<BulkRevocation[]>
  /**
   * Takes the lease of the oldest one that is `collecting` or `running` and has no lease. A lease that ends
   * later than this one counts as ended.
   */
  takeBulk(lease: { owner: string; forMs: number }): Promise<BulkRevocation | undefined>
  /**
   * Changes one, if its status is one of those expected, and its lease has that owner. `leaseOwner` `null`: the
   * lease is released. `false`: it is in another state.
   */
  updateBulk(bulk: {
    id: number
    expected: { statuses?: BulkStatus[]; leaseOwner?: string }
    changes: Partial<
      Pick<BulkRevocation, 'status' | 'actor' | 'address' | 'startedAt' | 'endedAt' | 'trouble'>
    > & { leaseOwner?: null }
    events: NewEvent[]
  }): Promise<boolean>
  /** Adds connections to one that is `collecting`, each once. `cursor` `null`: that is all, it becomes `ready`. */
  addBulkItems(items: {
    id: number
    owner: string
    forMs: number
    connectionIds: string[]
    cursor: string | null
  }): Promise<boolean>
  /**
   * Revokes up to `limit` connections as `revokeConnection` does, each with an event by the bulk's actor; at
   * least one, and none is started after `maxDurationMs`. Becomes `done` when none remains. A connection that
   * fails keeps its error, and the others go on.
   */
  revokeBulkItems(batch: {
    id: number
    owner: string
    forMs: number
    now: Millis
    limit: number
    maxDurationMs: number
  }): Promise<boolean>
  /** In no particular order. `failed`: only those that failed. */
  listBulkItems(filter: { id: number; failed: boolean; limit: number }): Promise<BulkItem[]>
}
