import type { Connection, Doubt, Millis, Store } from '../../db/store.ts'
import type { Random, SteadyClock } from '../runtime.ts'

/** The right of one run to refresh one connection, which is `connection`. */
export interface Lease {
  connection: Connection
  owner: string
  /** Why the refresh token may be out of date; a call whose answer may be lost sets it. */
  doubt: Doubt | null
  /** Makes it last for another call. @throws LostLease */
  extend(): Promise<void>
  /**
   * Ask right before a call, with nothing waited for in between: does the lease outlast it? Not if this
   * process was paused since, and another may have refreshed the connection. @throws LostLease
   */
  check(): void
}

/** Another writer came first: read again what it wrote. */
export class LeaseLostError extends Error {}

export interface Leases {
  /** `null`: the connection has changed since it was read, or another refreshes it. @throws LostLease */
  take(connection: Connection): Promise<Lease | null>
  /** Frees it, if it is still held; if that fails, it ends by itself. */
  free(lease: Lease): Promise<void>
  /** Ids of connections whose refresh was left unfinished: the lease has ended, or its process died. */
  listLeft(limit: number): Promise<string[]>
}

/** The processes that share the store. */
export interface Processes {
  /** This one. */
  id: string
  /** One that is paused has not. */
  hasDied(id: string): boolean
}

/** Bounds in milliseconds. A lease outlasts a call, which the Ellipsis client ends after 20 s. */
const LEASE = 30_000
const CALL = 20_000
/** One that ends further ahead is of a clock that began anew: the machine was started since. */
const LONGEST = 2 * LEASE
/**
 * Of a process that has died a lease counts no longer than this from when it was taken: by then upstream has
 * carried out what it was asked for, as good as always. Nobody is left to take a later answer, so waiting on
 * would save nothing, and lose where a replaced token is honoured for some seconds only.
 */
const ORPHANED_AFTER = 5000
/** A lease that took longer to write is taken anew: the database was held meanwhile. */
const SLOW = 5000
/** Whoever left a lease behind may only be slow: so long it has to store what it got. */
const LAST_CHANCE = 1000

export function createLeases(needs: {
  store: Store
  processes: Processes
  clock: SteadyClock
  random: Random
}): Leases {
  const { store, processes, clock, random } = needs

  /**
   * Writes until that takes no longer than it should: what was begun long ago ends too soon. Answers when
   * the lease that was written ends; `null`: it wasn't.
   */
  const writeInTime = async (
    write: (now: number, until: number) => Promise<boolean>,
  ): Promise<number | null> => {
    for (;;) {
      const now = clock.steady()
      if (!(await write(now, now + LEASE))) return null
      if (clock.steady() - now < SLOW) return now + LEASE
    }
  }

  const isOrphaned = (owner: string, until: Millis): boolean => {
    const age = clock.steady() - (until - LEASE)
    return age >= ORPHANED_AFTER && processes.hasDied(owner.slice(0, owner.lastIndexOf('.')))
  }

  return {
    async take(connection) {
      const { id, generation, leaseOwner, leaseUntil } = connection
      const owner = `${processes.id}.${random(12).toString('base64url')}`
      const orphaned = leaseOwner && isOrphaned(leaseOwner, leaseUntil ?? 0) ? leaseOwner : null
      const wanted = {
        id,
        expectedGeneration: generation,
        owner,
        maxLeaseMs: LONGEST,
        deadOwner: orphaned,
      }
      let end = await writeInTime((now, until) => store.takeLease({ ...wanted, now, until }))
      if (end === null) return null
      // Much may have happened since it was read: another may have left its lease behind.
      const held = await store.getConnection(id)
      if (held?.leaseOwner !== owner) return null
      const tookOver = leaseOwner !== null || held.doubt !== connection.doubt
      const lease: Lease = {
        connection: held,
        owner,
        doubt: held.doubt,
        async extend() {
          end = await writeInTime((_now, until) => store.updateLease({ id, owner, until }))
          if (end === null) throw new LeaseLostError()
        },
        check() {
          if (end === null || clock.steady() + CALL > end) throw new LeaseLostError()
        },
      }
      if (tookOver && orphaned === null) {
        await clock.sleep(LAST_CHANCE)
        await lease.extend()
      }
      return lease
    },

    async free({ connection: { id }, owner }) {
      await store.updateLease({ id, owner, until: null }).catch(() => undefined)
    },

    async listLeft(limit) {
      const leases = await store.listLeases(limit)
      const hasEnded = (until: Millis) =>
        until <= clock.steady() || until > clock.steady() + LONGEST
      return leases
        .filter(
          ({ leaseOwner, leaseUntil }) =>
            hasEnded(leaseUntil) || isOrphaned(leaseOwner, leaseUntil),
        )
        .map(({ id }) => id)
    },
  }
}
