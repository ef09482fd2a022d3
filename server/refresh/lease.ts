import type { Connection, StaleReason, Store } from '../../db/store.ts'
import type { Random, SteadyClock } from '../runtime.ts'

/** The right of one refresh attempt to refresh one connection for a limited time. */
export interface Lease {
  /** The connection as it was read under the lease. */
  connection: Connection
  owner: string
  /** Why the refresh token may be out of date. Set by a call whose answer may be lost. */
  staleReason: StaleReason | null
  /** Extends the lease for another call. @throws LeaseLostError */
  extend(): Promise<void>
  /**
   * Checks that the lease outlasts a call. Use it right before the call, with no `await` in between. It fails
   * if this process was paused and another one may have refreshed the connection since.
   * @throws LeaseLostError
   */
  assertOutlastsCall(): void
}

/** Another process changed the connection first: read it again. */
export class LeaseLostError extends Error {}

export interface Leases {
  /**
   * `null`: the connection has changed since it was read, or another process refreshes it.
   * @throws LeaseLostError
   */
  acquire(connection: Connection): Promise<Lease | null>
  /** Releases the lease if it is still held. If that fails, the lease expires. */
  release(lease: Lease): Promise<void>
  /** The attempt is over: if its lease was not released, another attempt may take it. */
  end(lease: Lease): void
  /** Ids of connections whose refresh was not finished: the lease has expired, or its process died. */
  listAbandoned(limit: number): Promise<string[]>
}

/** The processes that share the store. */
export interface Processes {
  /** Id of this process. */
  id: string
  /** See `Coordination`, milliseconds. */
  leaseMs: number
  holdMs(): number
  /** A paused process counts as alive. */
  hasDied(id: string): Promise<boolean>
}

/** The Ellipsis client ends a call after this time; a lease outlasts it. */
const CALL_TIMEOUT_MS = 20_000
/**
 * The lease of a dead process ends this long after it was acquired: upstream has processed the call by then.
 * Nobody can receive a later answer, so a longer wait saves nothing. A shorter wait helps where upstream
 * accepts a replaced token for only a few seconds.
 */
const DEAD_OWNER_LEASE_MS = 5000
/** If writing the lease took this long, the database was blocked, and the lease is written again. */
const MAX_WRITE_DURATION_MS = 5000
/** The former owner of an expired lease may only be slow: it gets this long to store its result. */
const FORMER_OWNER_GRACE_MS = 1000

export function createLeases(deps: {
  store: Store
  processes: Processes
  clock: SteadyClock
  random: Random
}): Leases {
  const { store, processes, clock, random } = deps
  const { leaseMs } = processes
  /** Owners of the leases of this process's attempts. */
  const held = new Set<string>()
  /** A lease that ends later than this is from before the store's clock began anew, or was set back. */
  const maxLeaseMs = 2 * leaseMs

  /**
   * Repeats `write` until it takes no longer than it should, because a slow write shortens the lease.
   * Returns until when this process may rely on the lease, by its steady clock; `null`: it was not written. That counts
   * from before the write. The store measures from the write, so it never ends the lease earlier.
   */
  const writeInTime = async (write: () => Promise<boolean>): Promise<number | null> => {
    for (;;) {
      const beganAt = clock.steady()
      const until = beganAt + processes.holdMs()
      if (!(await write())) return null
      if (clock.steady() - beganAt < MAX_WRITE_DURATION_MS) return until
    }
  }

  const isOrphaned = async (owner: string, remainingMs: number): Promise<boolean> => {
    // The store's clock may have been set back since: a negative age is not young.
    const ageMs = Math.abs(leaseMs - remainingMs)
    const processId = owner.slice(0, owner.lastIndexOf('.'))
    if (ageMs < DEAD_OWNER_LEASE_MS) return false
    return processId === processes.id ? !held.has(owner) : processes.hasDied(processId)
  }

  const hasExpired = (remainingMs: number): boolean => remainingMs <= 0 || remainingMs > maxLeaseMs

  const take = async (connection: Connection, owner: string): Promise<Lease | null> => {
    const { id, generation, leaseOwner, leaseRemainingMs } = connection
    const orphaned =
      leaseOwner && (await isOrphaned(leaseOwner, leaseRemainingMs ?? 0)) ? leaseOwner : null
    let until = await writeInTime(() =>
      store.takeLease({
        id,
        expectedGeneration: generation,
        owner,
        forMs: leaseMs,
        maxLeaseMs,
        deadOwner: orphaned,
      }),
    )
    if (until === null) return null
    // The row may have changed since it was read: another process may have abandoned its lease.
    const current = await store.getConnection(id)
    if (current?.leaseOwner !== owner) return null
    const lease: Lease = {
      connection: current,
      owner,
      staleReason: current.staleReason,
      async extend() {
        until = await writeInTime(() => store.updateLease({ id, owner, forMs: leaseMs }))
        if (until === null) throw new LeaseLostError()
      },
      assertOutlastsCall() {
        if (until === null || clock.steady() + CALL_TIMEOUT_MS > until) throw new LeaseLostError()
      },
    }
    const hadFormerOwner = leaseOwner !== null || current.staleReason !== connection.staleReason
    if (hadFormerOwner && orphaned === null) {
      await clock.sleep(FORMER_OWNER_GRACE_MS)
      await lease.extend()
    }
    return lease
  }

  return {
    async acquire(connection) {
      // Others may soon count this process as dead, and would learn of an abandoned lease: better take none.
      if (processes.holdMs() < CALL_TIMEOUT_MS) return null
      const owner = `${processes.id}.${random(12).toString('base64url')}`
      held.add(owner)
      let lease: Lease | null = null
      try {
        return (lease = await take(connection, owner))
      } finally {
        if (!lease) held.delete(owner)
      }
    },

    async release({ connection: { id }, owner }) {
      await store.updateLease({ id, owner, forMs: null }).catch(() => undefined)
    },

    end: ({ owner }) => void held.delete(owner),

    async listAbandoned(limit) {
      const abandoned: string[] = []
      for (const { id, leaseOwner, leaseRemainingMs } of await store.listLeases(limit)) {
        const isAbandoned =
          hasExpired(leaseRemainingMs) || (await isOrphaned(leaseOwner, leaseRemainingMs))
        if (isAbandoned) abandoned.push(id)
      }
      return abandoned
    },
  }
}
