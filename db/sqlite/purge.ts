import { and, eq, isNotNull, isNull } from 'drizzle-orm'
import { connections, signingKeys } from './schema.ts'
import type { Store } from '../store.ts'
import { MOST } from './checkpoint.ts'
import { atOnce, isOneOf, type Engine } from './engine.ts'

/** Connections marked in one transaction. */
const BATCH = 20
/** Connections marked after one cut of the log; a bulk revocation leaves more, whose turn comes. */
const AT_ONCE = 2000

/** The end of an erasure: the overwritten bytes leave the write-ahead log too. */
export function purgeMethods(engine: Engine): Pick<Store, 'purge' | 'isErasurePending'> {
  const { client, db, read, write } = engine
  // Named, or SQLite takes another index and reads everyone who was ever revoked.
  const findConnections = client
    .prepare<[], string>(
      `select id from connections indexed by connections_erasing
      where revoked_at is not null and erased_at is null limit ${AT_ONCE}`,
    )
    .pluck()
  const findKeys = db
    .select({ id: signingKeys.kid })
    .from(signingKeys)
    .where(and(eq(signingKeys.status, 'revoked'), isNull(signingKeys.erasedAt)))
    .prepare()

  const findPending = () => ({
    connections: findConnections.all(),
    keys: findKeys.all().map(({ id }) => id),
  })

  /** Copies the log into the database and cuts it to nothing; `false`: somebody reads or writes it. */
  const truncateLog = (): boolean =>
    engine.checkpoint() <= MOST && client.pragma('wal_checkpoint(TRUNCATE)', { simple: true }) === 0

  return {
    async purge(now, { throttle = atOnce, connectionId } = {}) {
      // Who is revoked between this and the truncation, by another process, waits for the next one.
      const pending = connectionId
        ? { connections: [connectionId], keys: [] }
        : await read(findPending)
      if (!(await read(truncateLog))) return false
      const erased = { erasedAt: now }
      const { revokedAt, erasedAt } = connections
      const isPending = and(isNotNull(revokedAt), isNull(erasedAt))
      for (let from = 0; from < pending.connections.length; from += BATCH) {
        const batch = isOneOf(connections.id, pending.connections.slice(from, from + BATCH))
        const mark = () => db.update(connections).set(erased).where(and(batch, isPending)).run()
        await throttle(() => write(mark))
      }
      if (pending.keys.length > 0) {
        const keys = isOneOf(signingKeys.kid, pending.keys)
        await write(() => db.update(signingKeys).set(erased).where(keys).run())
      }
      return true
    },

    isErasurePending: () =>
      read(() => findConnections.get() !== undefined || findKeys.get() !== undefined),
  }
}
