import type { Connection, Doubt, Millis, Store } from '../../db/store.ts'
import type { Random, SteadyClock } from './clock.ts'

/** The right of one run to refresh one connection, which was read as `connection`. */
export interface Lease {
  connection: Connection
  owner: string
  /** Why the refresh token may be out of date; a call whose answer may be lost sets it. */
  doubt: Doubt | null
  /** Makes it last for another call. @throws LostLease */
  extend(): Promise<void>
}

/** Another writer came first: read again what it wrote. */
export class LostLease extends Error {}

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
/** One that ends further ahead is of a clock that began anew: the machine was started since. */
const LONGEST = 2 * LEASE
/**
 * Of a process that has died a lease counts no longer than this from when it was taken: by then upstream has
 * carried out what it was asked for, or never will, and whoever waits is still there.
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

  /** Writes until that takes no longer than it should: what was begun long ago ends too soon. */
  const writeInTime = async (write: (now: number) => Promise<boolean>): Promise<boolean> => {
    for (;;) {
      const now = clock.steady()
      if (!(await write(now))) return false
      if (clock.steady() - now < SLOW) return true
    }
  }

  const extend = async (id: string, owner: string): Promise<void> => {
    const held = await writeInTime((now) => store.extendLease({ id, owner, until: now + LEASE }))
    if (!held) throw new LostLease()
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
      const lease = { id, expectedGeneration: generation, owner, longest: LONGEST, orphaned }
      const take = (now: number) => store.takeLease({ ...lease, now, until: now + LEASE })
      if (!(await writeInTime(take))) return null
      const taken = { connection, owner, extend: () => extend(id, owner) }
      if (leaseOwner === null) return { ...taken, doubt: connection.doubt }
      if (orphaned === null) {
        await clock.sleep(LAST_CHANCE)
        await extend(id, owner)
      }
      return { ...taken, doubt: 'answer_lost' }
    },

    async free({ connection: { id }, owner }) {
      await store.freeLease({ id, owner }).catch(() => undefined)
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
