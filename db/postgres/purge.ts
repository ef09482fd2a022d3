import { and, eq, isNotNull, isNull } from 'drizzle-orm'
import { isOneOf, type Engine } from '../sql/engine.ts'
import { connections, signingKeys } from '../sql/schema.ts'
import type { Store } from '../store.ts'
import type { Pool } from './pool.ts'

type Methods = 'purge' | 'isErasurePending' | 'releaseSpace' | 'checkWritable' | 'close'

/**
 * Completes erasures: the rows of sealed values are deleted, and a vacuum removes their former versions. Their bytes can
 * stay in free space, in the write-ahead log, on standbys and in backups until those are written anew; they are
 * sealed, and rotating the key makes them unreadable.
 */
export function purgeMethods(engine: Engine, pool: Pool): Pick<Store, Methods> {
  const { db, read, write } = engine
  const { id, revokedAt, erasedAt } = connections
  const isPending = and(isNotNull(revokedAt), isNull(erasedAt))
  const revokedKeys = and(eq(signingKeys.status, 'revoked'), isNull(signingKeys.erasedAt))

  return {
    async purge({ now, limit, connectionId }) {
      const own = connectionId === undefined ? isPending : and(isPending, eq(id, connectionId))
      const pending = await read(() =>
        db.select({ id }).from(connections).where(own).limit(limit).all(),
      )
      await pool.read((execute) => execute({ text: 'vacuum sealed', values: [], name: '' }))
      await write(() => {
        const ids = pending.map(({ id }) => id)
        const found = and(isPending, isOneOf(id, ids))
        db.update(connections).set({ erasedAt: now }).where(found).run()
        if (connectionId === undefined)
          db.update(signingKeys).set({ erasedAt: now }).where(revokedKeys).run()
      })
      return connectionId === undefined && pending.length === limit ? 'more' : 'done'
    },

    isErasurePending: () =>
      read(
        () =>
          db.select({ id }).from(connections).where(isPending).limit(1).get() !== undefined ||
          db.select({ id: signingKeys.kid }).from(signingKeys).where(revokedKeys).get() !==
            undefined,
      ),

    // Autovacuum does.
    releaseSpace: () => Promise.resolve(false),

    /** A transaction with a number writes to the log when it commits, and waits for synchronous standbys. */
    checkWritable: () =>
      pool.write(async (execute) => {
        await execute({ text: 'select pg_current_xact_id()::text', values: [], name: '' })
      }),

    close: () => pool.close(),
  }
}
