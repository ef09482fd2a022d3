import { and, count, eq, inArray, isNotNull, isNull, lt, or, sql } from 'drizzle-orm'
import {
  codes,
  connections,
  events,
  flows,
  grants,
  meta,
  signingKeys,
  usage,
} from '../schema.sqlite.ts'
import type { ConnectionStatus, Store, Swept } from '../store.ts'
import type { Engine } from './engine.ts'
import type { SealedValues } from './sealed.ts'

type Methods =
  | 'getMeta'
  | 'setMeta'
  | 'purge'
  | 'isErasurePending'
  | 'sweep'
  | 'countConnections'
  | 'checkWritable'
  | 'close'

/** Rows a transaction of the sweep, so that none holds others up for long. */
const BATCH = 500

/** What no user waits for: erasure, the sweep, health. */
export function upkeepMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { client, db, read, write } = engine
  const unerasedConnections = and(isNotNull(connections.revokedAt), isNull(connections.erasedAt))
  const unerasedKeys = and(eq(signingKeys.status, 'revoked'), isNull(signingKeys.erasedAt))

  /** Runs a batch until one is not full. Answers how many rows went. */
  const inBatches = async (batch: () => number): Promise<number> => {
    let total = 0
    for (;;) {
      const removed = await write(batch)
      total += removed
      if (removed < BATCH) return total
    }
  }

  const sweepFlows = (now: number): number => {
    const ended = db
      .select({ stateHash: flows.stateHash, verifier: flows.verifier })
      .from(flows)
      .where(lt(flows.expiresAt, now))
      .limit(BATCH)
      .all()
    const hashes = ended.map(({ stateHash }) => stateHash)
    db.delete(flows).where(inArray(flows.stateHash, hashes)).run()
    sealedValues.erase(ended.map(({ verifier }) => verifier))
    return ended.length
  }

  const sweepCodes = (now: number, usedFor: number): number => {
    const unused = and(isNull(codes.usedAt), lt(codes.expiresAt, now))
    const used = lt(codes.usedAt, now - usedFor)
    const key = { codeHash: codes.codeHash }
    const ended = db.select(key).from(codes).where(or(unused, used)).limit(BATCH)
    return db.delete(codes).where(inArray(codes.codeHash, ended)).run().changes
  }

  const sweepGrants = (before: number): number => {
    const expired = lt(grants.expiresAtSeconds, Math.floor(before / 1000))
    const where = or(expired, lt(grants.revokedAt, before))
    const ended = db.select({ id: grants.id }).from(grants).where(where).limit(BATCH)
    return db.delete(grants).where(inArray(grants.id, ended)).run().changes
  }

  const sweepConnections = (before: number): number => {
    const where = and(lt(connections.revokedAt, before), isNotNull(connections.erasedAt))
    const ended = db.select({ id: connections.id }).from(connections).where(where).limit(BATCH)
    return db.delete(connections).where(inArray(connections.id, ended)).run().changes
  }

  const sweepEvents = (before: number): number => {
    const old = db.select({ id: events.id }).from(events).where(lt(events.at, before)).limit(BATCH)
    return db.delete(events).where(inArray(events.id, old)).run().changes
  }

  return {
    getMeta: () =>
      read(() => {
        const rows = db.select().from(meta).all()
        return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
      }),

    setMeta: (entries) =>
      write(() => {
        for (const [key, value] of Object.entries(entries)) {
          const target = { target: meta.key, set: { value } }
          db.insert(meta).values({ key, value }).onConflictDoUpdate(target).run()
        }
      }),

    async purge(now) {
      // Only what was revoked before the log was emptied is erased after it.
      const ids = await read(() =>
        db.select({ id: connections.id }).from(connections).where(unerasedConnections).all(),
      )
      const kids = await read(() =>
        db.select({ kid: signingKeys.kid }).from(signingKeys).where(unerasedKeys).all(),
      )
      const [log] = client.pragma('wal_checkpoint(TRUNCATE)') as [{ busy: number }]
      if (log.busy !== 0) return false
      if (ids.length + kids.length === 0) return true
      await write(() => {
        for (const { id } of ids) {
          db.update(connections).set({ erasedAt: now }).where(eq(connections.id, id)).run()
        }
        for (const { kid } of kids) {
          db.update(signingKeys).set({ erasedAt: now }).where(eq(signingKeys.kid, kid)).run()
        }
      })
      return true
    },

    isErasurePending: () =>
      read(() => {
        const found = { found: sql`1` }
        const one = db.select(found).from(connections).where(unerasedConnections).limit(1).get()
        return (
          (one ?? db.select(found).from(signingKeys).where(unerasedKeys).limit(1).get()) !==
          undefined
        )
      }),

    async sweep({ now, usedFor, endedBefore, eventsBefore }): Promise<Swept> {
      const swept = {
        flows: await inBatches(() => sweepFlows(now)),
        codes: await inBatches(() => sweepCodes(now, usedFor)),
        grants: await inBatches(() => sweepGrants(endedBefore)),
        connections: await inBatches(() => sweepConnections(endedBefore)),
        events: await inBatches(() => sweepEvents(eventsBefore)),
      }
      await write(() => db.delete(usage).where(lt(usage.hour, eventsBefore)).run())
      return swept
    },

    countConnections: () =>
      read(() => {
        const counts: Record<ConnectionStatus, number> = {
          active: 0,
          needs_reconnect: 0,
          revoked: 0,
        }
        const rows = db
          .select({ status: connections.status, rows: count() })
          .from(connections)
          .groupBy(connections.status)
          .all()
        for (const row of rows) counts[row.status] = row.rows
        return counts
      }),

    checkWritable: () =>
      write(() => {
        const value = String(Date.now())
        const target = { target: meta.key, set: { value } }
        db.insert(meta).values({ key: 'checked_at', value }).onConflictDoUpdate(target).run()
      }),

    async close() {
      client.close()
    },
  }
}
