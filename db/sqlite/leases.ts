import { and, asc, eq, isNotNull, lte, sql } from 'drizzle-orm'
import { connections, retried } from './schema.ts'
import type { Millis, Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { noLease, unrevoked } from './tokens.ts'

type Methods = 'takeLease' | 'extendLease' | 'freeLease' | 'listLeases' | 'listFailed'
type Wanted = Parameters<Store['takeLease']>[0]
type Held = { leaseOwner: string | null; leaseUntil: Millis | null }

/** The right to refresh a connection, and the refreshes that were left unfinished. */
export function leaseMethods({ db, read, writeFleeting }: Engine): Pick<Store, Methods> {
  const find = db
    .select({
      leaseOwner: connections.leaseOwner,
      leaseUntil: connections.leaseUntil,
      staleReason: connections.staleReason,
    })
    .from(connections)
    .where(
      and(
        eq(connections.id, sql.placeholder('id')),
        eq(connections.generation, sql.placeholder('generation')),
        unrevoked,
      ),
    )
    .prepare()

  const leases = db
    .select({
      id: connections.id,
      leaseOwner: sql<string>`${connections.leaseOwner}`,
      leaseUntil: sql<number>`${connections.leaseUntil}`,
    })
    .from(connections)
    .where(isNotNull(connections.leaseOwner))
    .orderBy(asc(connections.leaseUntil))
    .limit(sql.placeholder('limit'))
    .prepare()

  const failed = db
    .select({ id: connections.id })
    .from(connections)
    .where(and(retried, lte(connections.retryAt, sql.placeholder('retryBefore'))))
    .orderBy(asc(connections.retryAt))
    .limit(sql.placeholder('limit'))
    .prepare()

  const held = (id: string, owner: string) =>
    and(eq(connections.id, id), eq(connections.leaseOwner, owner))

  return {
    takeLease: (lease) =>
      writeFleeting(() => {
        const { id, expectedGeneration, owner, until } = lease
        const row = find.get({ id, generation: expectedGeneration })
        if (!row || !isFree(row, lease)) return false
        const leftBehind = row.leaseOwner !== null && row.leaseOwner !== owner
        const staleReason = leftBehind ? 'answer_lost' : row.staleReason
        db.update(connections)
          .set({ leaseOwner: owner, leaseUntil: until, staleReason })
          .where(eq(connections.id, id))
          .run()
        return true
      }),

    extendLease: ({ id, owner, until }) =>
      writeFleeting(() => {
        const lease = { leaseUntil: until }
        return db.update(connections).set(lease).where(held(id, owner)).run().changes === 1
      }),

    freeLease: ({ id, owner }) =>
      writeFleeting(() => {
        db.update(connections).set(noLease).where(held(id, owner)).run()
      }),

    listLeases: (limit) => read(() => leases.all({ limit })),
    listFailed: (bounds) => read(() => failed.all(bounds).map(({ id }) => id)),
  }
}

function isFree({ leaseOwner, leaseUntil }: Held, lease: Wanted): boolean {
  if (leaseOwner === null || leaseUntil === null || leaseOwner === lease.owner) return true
  const { now, longest, orphaned } = lease
  return leaseOwner === orphaned || leaseUntil <= now || leaseUntil > now + longest
}
