import { eq } from 'drizzle-orm'
import { connections } from './schema.ts'
import type { Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import type { SealedValues } from './sealed.ts'
import { createTokenWriter, noLease } from './tokens.ts'

/** What a refresh brought. */
export function refreshMethods(
  engine: Engine,
  sealedValues: SealedValues,
): Pick<Store, 'saveTokens' | 'saveFailure'> {
  const { db, write } = engine
  const tokenWriter = createTokenWriter(engine, sealedValues)

  return {
    saveTokens: ({ id, expectedGeneration, tokens, previousRefreshToken, ...refreshed }) =>
      write(() => {
        const row = tokenWriter.find(id, expectedGeneration)
        if (!row) return false
        const { failure, now, events } = refreshed
        const stored = tokenWriter.put(row, tokens, previousRefreshToken)
        const failed = failure ? { ...failure, failures: row.failures + 1 } : {}
        db.update(connections)
          .set({ ...tokenWriter.renewed(row, stored, now), ...failed, ...noLease })
          .where(eq(connections.id, id))
          .run()
        insertEvents(engine, events)
        return true
      }),

    saveFailure: ({ id, expectedGeneration, owner, dropPrevious, events, ...failure }) =>
      write(() => {
        const row = tokenWriter.find(id, expectedGeneration)
        if (!row || (row.leaseOwner !== null && row.leaseOwner !== owner)) return false
        const { status, lastError, retryAt, staleReason } = failure
        if (dropPrevious) sealedValues.erase([row.previousRefreshToken])
        const dropped = dropPrevious ? { previousRefreshToken: null } : {}
        const failures = row.failures + 1
        const failed = {
          status,
          lastError,
          retryAt,
          failures,
          staleReason: staleReason ?? row.staleReason,
        }
        db.update(connections)
          .set({ ...failed, ...dropped, ...noLease })
          .where(eq(connections.id, id))
          .run()
        insertEvents(engine, events)
        return true
      }),
  }
}
