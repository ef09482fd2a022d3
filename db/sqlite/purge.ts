import { and, eq, isNotNull, isNull } from 'drizzle-orm'
import { connections, signingKeys } from '../sql/schema.ts'
import type { Store } from '../store.ts'
import { MAX_CHECKPOINT_PAGES } from './checkpoint.ts'
import { isOneOf } from '../sql/engine.ts'
import type { SqliteEngine } from './engine.ts'

/** Connections whose erasure one truncation of the log completes; the rest waits for the next one. */
const MAX_PENDING = 2000

interface Pending {
  connections: string[]
  keys: string[]
}

/** Completes erasures: the overwritten bytes leave the write-ahead log too. */
export function purgeMethods(engine: SqliteEngine): Pick<Store, 'purge' | 'isErasurePending'> {
  const { client, db, read, write } = engine
  // The index is named, or SQLite uses another one and reads every connection that was ever revoked.
  const findConnections = client
    .prepare<[], string>(
      `select id from connections indexed by connections_erasing
      where revoked_at is not null and erased_at is null limit ${MAX_PENDING}`,
    )
    .pluck()
  const findKeys = db
    .select({ id: signingKeys.kid })
    .from(signingKeys)
    .where(and(eq(signingKeys.status, 'revoked'), isNull(signingKeys.erasedAt)))
    .prepare()

  const findPending = (): Pending => ({
    connections: findConnections.all(),
    keys: findKeys.all().map(({ id }) => id),
  })

  /** Copies the log into the database and truncates it; `false`: somebody reads or writes it. */
  const truncateLog = (): boolean =>
    engine.checkpoint() <= MAX_CHECKPOINT_PAGES &&
    client.pragma('wal_checkpoint(TRUNCATE)', { simple: true }) === 0

  const markErased = (pending: Pending, now: number): void => {
    const erased = { erasedAt: now }
    const { id, revokedAt, erasedAt } = connections
    const isPending = and(isOneOf(id, pending.connections), isNotNull(revokedAt), isNull(erasedAt))
    db.update(connections).set(erased).where(isPending).run()
    db.update(signingKeys).set(erased).where(isOneOf(signingKeys.kid, pending.keys)).run()
  }

  /** Erased for good by the latest truncation, and not marked as such yet. */
  let erased: Pending = { connections: [], keys: [] }

  /** Connections that another process revokes after `pending` was read wait for the next truncation. */
  const erase = async (pending: Pending): Promise<boolean> => {
    if (!(await read(truncateLog))) return false
    erased = pending
    return true
  }

  return {
    async purge({ now, limit, connectionId }) {
      if (connectionId !== undefined) {
        if (!(await read(truncateLog))) return 'blocked'
        await write(() => markErased({ connections: [connectionId], keys: [] }, now))
        return 'done'
      }
      if (erased.connections.length === 0 && !(await erase(await read(findPending)))) {
        return 'blocked'
      }
      const batch = { connections: erased.connections.slice(0, limit), keys: erased.keys }
      erased = { connections: erased.connections.slice(limit), keys: [] }
      if (batch.connections.length + batch.keys.length > 0)
        await write(() => markErased(batch, now))
      return erased.connections.length > 0 ? 'more' : 'done'
    },

    isErasurePending: () =>
      read(() => findConnections.get() !== undefined || findKeys.get() !== undefined),
  }
}
