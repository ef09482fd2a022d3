import { statSync } from 'node:fs'
import { and, eq, inArray, isNotNull, isNull, lt, lte, or } from 'drizzle-orm'
import {
  attempts,
  bulkItems,
  bulks,
  codes,
  connections,
  deviceCodes,
  devices,
  dpopProofs,
  events,
  flows,
  grants,
  sessions,
  setupLinks,
  usage,
} from './schema.ts'
import type { Store } from '../store.ts'
import { atOnce, type Engine } from './engine.ts'
import { deleteFlows } from './flows.ts'
import type { SealedValues } from './sealed.ts'

type Methods = 'sweep' | 'checkWritable' | 'close'
type Bounds = Parameters<Store['sweep']>[0]
type Work = NonNullable<Parameters<Store['sweep']>[1]>

/** Rows a transaction: whoever waits for it waits for a few milliseconds. */
const BATCH = 10
const DAY = 24 * 60 * 60_000
/** What the longest chart shows, however early events go. Milliseconds. */
const CHARTED = 31 * DAY
/** How long a device code that nobody used is remembered after its end, milliseconds. */
const LATE = 5 * 60_000

/** The file at a path by its device and number; empty: there is none. */
function identify(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found ? `${found.dev}:${found.ino}` : ''
}

/** What no user waits for: the sweep, counts, health. */
export function upkeepMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { client, db, write } = engine
  const opened = identify(client.name)

  /** Runs batches, each a transaction of its own, until one isn't full. Answers how many rows went. */
  const inBatches = async (removeBatch: () => number, work: Work): Promise<number> => {
    const { throttle = atOnce, stop } = work
    let total = 0
    let removed = BATCH
    while (removed === BATCH && !stop?.aborted) {
      removed = await throttle(() => write(removeBatch))
      total += removed
    }
    return total
  }

  const removeFlows = ({ now }: Bounds): number =>
    deleteFlows(engine, sealedValues, lte(flows.expiresAt, now), BATCH)

  const removeCodes = ({ now, usedFor }: Bounds): number => {
    const ended = and(isNull(codes.usedAt), lte(codes.expiresAt, now))
    const where = or(ended, lte(codes.usedAt, now - usedFor))
    return db.delete(codes).where(where).limit(BATCH).run().changes
  }

  const removeDeviceCodes = ({ now, usedFor }: Bounds): number => {
    // Who polls late is still told that the code has expired.
    const ended = and(isNull(deviceCodes.usedAt), lte(deviceCodes.expiresAt, now - LATE))
    const where = or(ended, lte(deviceCodes.expiresAt, now - usedFor))
    return db.delete(deviceCodes).where(where).limit(BATCH).run().changes
  }

  const removeGrants = ({ endedBefore }: Bounds): number => {
    const expired = lt(grants.expiresAtSeconds, Math.floor(endedBefore / 1000))
    const where = or(expired, lt(grants.revokedAt, endedBefore))
    return db.delete(grants).where(where).limit(BATCH).run().changes
  }

  /** Only those whose erasure is complete: a row that is gone can't be reported as pending. */
  const removeConnections = ({ endedBefore }: Bounds): number => {
    const where = and(lt(connections.revokedAt, endedBefore), isNotNull(connections.erasedAt))
    return db.delete(connections).where(where).limit(BATCH).run().changes
  }

  const removeProofs = ({ now }: Bounds): number =>
    db.delete(dpopProofs).where(lte(dpopProofs.expiresAt, now)).limit(BATCH).run().changes

  const removeSessions = ({ now }: Bounds): number =>
    db.delete(sessions).where(lte(sessions.expiresAt, now)).limit(BATCH).run().changes

  const removeDevices = ({ now }: Bounds): number =>
    db.delete(devices).where(lte(devices.expiresAt, now)).limit(BATCH).run().changes

  const removeAttempts = ({ now }: Bounds): number =>
    db.delete(attempts).where(lte(attempts.until, now)).limit(BATCH).run().changes

  const removeSetupLinks = ({ now }: Bounds): number =>
    db.delete(setupLinks).where(lte(setupLinks.expiresAt, now)).limit(BATCH).run().changes

  const removeEvents = ({ eventsBefore }: Bounds): number =>
    db.delete(events).where(lt(events.at, eventsBefore)).limit(BATCH).run().changes

  const removeUsage = ({ now, eventsBefore }: Bounds): number => {
    const before = Math.min(eventsBefore, now - CHARTED)
    return db.delete(usage).where(lt(usage.hour, before)).limit(BATCH).run().changes
  }

  /** A bulk revocation that nobody confirmed ends; whom an ended one had still to do is forgotten. */
  const cancelBulks = ({ now }: Bounds): number => {
    const unconfirmed = and(eq(bulks.status, 'ready'), lt(bulks.createdAt, now - DAY))
    const cancelled = { status: 'cancelled', endedAt: now } as const
    return db.update(bulks).set(cancelled).where(unconfirmed).run().changes
  }

  const removeBulkItems = ({ endedBefore }: Bounds): number => {
    const { id } = bulks
    const over = or(eq(bulks.status, 'cancelled'), lt(bulks.endedAt, endedBefore))
    const ended = db.select({ id }).from(bulks).where(over)
    return db.delete(bulkItems).where(inArray(bulkItems.bulkId, ended)).limit(BATCH).run().changes
  }

  const removeBulks = ({ endedBefore }: Bounds): number =>
    db.delete(bulks).where(lt(bulks.endedAt, endedBefore)).limit(BATCH).run().changes

  return {
    async sweep(bounds, work = {}) {
      const all = (remove: (bounds: Bounds) => number) => inBatches(() => remove(bounds), work)
      await all(removeSessions)
      await all(removeDevices)
      await all(removeAttempts)
      await all(removeSetupLinks)
      await all(removeProofs)
      await all(removeUsage)
      await write(() => cancelBulks(bounds))
      await all(removeBulkItems)
      await all(removeBulks)
      return {
        flows: await all(removeFlows),
        codes: await all(removeCodes),
        deviceCodes: await all(removeDeviceCodes),
        grants: await all(removeGrants),
        connections: await all(removeConnections),
        events: await all(removeEvents),
      }
    },

    /**
     * A number in the file's head that nothing else uses: only a commit shows that the disk has room. What is
     * written to a file that was moved away is lost to everybody else.
     */
    checkWritable: () =>
      write(() => {
        if (identify(client.name) !== opened) {
          const moved = new Error(
            `${client.name} is another file than the one that is open, or gone`,
          )
          throw Object.assign(moved, { code: 'SQLITE_READONLY_DBMOVED' })
        }
        const version = Number(client.pragma('user_version', { simple: true }))
        client.pragma(`user_version = ${1 - version}`)
      }),

    /** What is under way is committed first. */
    async close() {
      try {
        await write(() => undefined)
      } finally {
        client.close()
      }
    },
  }
}
