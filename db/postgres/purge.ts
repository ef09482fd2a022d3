import { setTimeout } from 'node:timers/promises'
import { and, eq, isNotNull, isNull } from 'drizzle-orm'
import { isOneOf, type Engine } from '../sql/engine.ts'
import { connections, signingKeys } from '../sql/schema.ts'
import type { Store } from '../store.ts'
import type { Pool } from './pool.ts'
import type { Execute } from './replay.ts'

/** It reads the whole table. */
const VACUUM_TIMEOUT_MS = 600_000

type Methods = 'purge' | 'isErasurePending' | 'releaseSpace' | 'checkWritable' | 'close'

/** How often, and after which pause, transactions are awaited that may see former versions of rows. */
const LOOKS = 20
const PAUSE_MS = 100

/**
 * Transactions that began before a transaction id, and standbys that read for them: for these, vacuum keeps what was
 * deleted since. A role sees only its own, unless it may read all statistics (pg_read_all_stats).
 */
const OLDER_READERS = `
  select exists (select 1 from (
    select backend_xmin as horizon from pg_stat_activity where pid <> pg_backend_pid()
    union all select xmin from pg_replication_slots) as readers
  where horizon is not null and age(horizon) > age($1::text::xid))`

/**
 * A table without rows: fails where transactions are read-only. A transaction with a number writes to the log when it
 * commits, and waits for synchronous standbys.
 */
const WRITE = 'delete from writers; select pg_current_xact_id()::text'

/**
 * Erasures on PostgreSQL, which overwrites nothing in place: sealed values are deleted, and a vacuum frees their rows.
 * Their bytes stay in free space, the write-ahead log, standbys and backups until these are written anew. They are
 * sealed, and `secret rotate` makes all such copies unreadable. A key for each connection would lie in the same files.
 */
export function purgeMethods(engine: Engine, pool: Pool): Pick<Store, Methods> {
  const { db, read, write } = engine
  const { id, revokedAt, erasedAt } = connections
  const isPending = and(isNotNull(revokedAt), isNull(erasedAt))
  const revokedKeys = and(eq(signingKeys.status, 'revoked'), isNull(signingKeys.erasedAt))

  /** Removes the bytes of rows that were deleted before now; `false`: somebody can still read them. */
  const vacuum = (): Promise<boolean> =>
    pool.read(async (execute) => {
      const now = await ask(execute, 'select pg_snapshot_xmax(pg_current_snapshot())::text')
      for (let look = 0; (await ask(execute, OLDER_READERS, [now])) === 1; look++) {
        if (look === LOOKS) return false
        await setTimeout(PAUSE_MS)
      }
      await execute({ text: 'vacuum sealed', values: [], name: '', timeoutMs: VACUUM_TIMEOUT_MS })
      return true
    })

  return {
    async purge({ now, limit, connectionId }) {
      const own = connectionId === undefined ? isPending : and(isPending, eq(id, connectionId))
      const pending = await read(() =>
        db.select({ id }).from(connections).where(own).limit(limit).all(),
      )
      const keys = await read(() =>
        db.select({ kid: signingKeys.kid }).from(signingKeys).where(revokedKeys).all(),
      )
      if (!(await vacuum())) return 'blocked'
      await write(() => {
        const ids = pending.map(({ id }) => id)
        db.update(connections)
          .set({ erasedAt: now })
          .where(and(isPending, isOneOf(id, ids)))
          .run()
        if (connectionId !== undefined) return
        const kids = keys.map(({ kid }) => kid)
        db.update(signingKeys).set({ erasedAt: now }).where(isOneOf(signingKeys.kid, kids)).run()
      })
      return connectionId === undefined && pending.length === limit ? 'more' : 'done'
    },

    isErasurePending: () =>
      read(() => {
        const keys = db.select({ id: signingKeys.kid }).from(signingKeys).where(revokedKeys)
        return (
          db.select({ id }).from(connections).where(isPending).unionAll(keys).limit(1).all()
            .length > 0
        )
      }),

    // Autovacuum does.
    releaseSpace: () => Promise.resolve(false),

    checkWritable: () => pool.write(async (execute) => void (await ask(execute, WRITE))),

    close: () => pool.close(),
  }
}

/** The first value of the first row. */
const ask = async (execute: Execute, text: string, values: unknown[] = []): Promise<unknown> =>
  (await execute({ text, values, name: '' })).rows[0]?.[0]
