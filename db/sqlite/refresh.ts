import { and, eq, gt, isNull, lte, or } from 'drizzle-orm'
import { connections } from '../schema.sqlite.ts'
import type { Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import type { SealedValues } from './sealed.ts'
import { createTokenWriter, noLease, unrevoked } from './tokens.ts'

type Methods = 'takeLease' | 'extendLease' | 'freeLease' | 'saveTokens' | 'saveFailure'

/** The lease on a connection's refresh, and what a refresh brought. */
export function refreshMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { db, write, writeFleeting } = engine
  const tokenWriter = createTokenWriter(engine, sealedValues)

  const held = (id: string, owner: string) =>
    and(eq(connections.id, id), eq(connections.leaseOwner, owner))

  /** Frees the lease of `owner`; another's is left alone. */
  const freed = (row: { leaseOwner: string | null }, owner: string) =>
    row.leaseOwner === owner ? noLease : {}

  return {
    takeLease: ({ id, expectedGeneration, owner, now, until, longest }) =>
      writeFleeting(() => {
        const free = or(
          isNull(connections.leaseOwner),
          eq(connections.leaseOwner, owner),
          lte(connections.leaseUntil, now),
          gt(connections.leaseUntil, now + longest),
        )
        const unmoved = and(
          eq(connections.id, id),
          eq(connections.generation, expectedGeneration),
          unrevoked,
        )
        const lease = { leaseOwner: owner, leaseUntil: until }
        return db.update(connections).set(lease).where(and(unmoved, free)).run().changes === 1
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

    saveTokens: ({ id, expectedGeneration, owner, tokens, previousRefreshToken, now, events }) =>
      write(() => {
        const row = tokenWriter.find(id, expectedGeneration)
        if (!row) return false
        const stored = tokenWriter.put(row, tokens, previousRefreshToken)
        db.update(connections)
          .set({ ...tokenWriter.renewed(row, stored, now), ...freed(row, owner) })
          .where(eq(connections.id, id))
          .run()
        insertEvents(engine, events)
        return true
      }),

    saveFailure: ({ id, expectedGeneration, owner, dropPrevious, events, ...failure }) =>
      write(() => {
        const row = tokenWriter.find(id, expectedGeneration)
        if (!row) return false
        const { status, lastError, retryAt } = failure
        if (dropPrevious) sealedValues.erase([row.previousRefreshToken])
        const dropped = dropPrevious ? { previousRefreshToken: null } : {}
        const failed = { status, lastError, retryAt, failures: row.failures + 1 }
        db.update(connections)
          .set({ ...failed, ...dropped, ...freed(row, owner) })
          .where(eq(connections.id, id))
          .run()
        insertEvents(engine, events)
        return true
      }),
  }
}
