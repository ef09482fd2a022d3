import type { Store } from '../../db/store.ts'
import type { Clock, Throttle } from '../runtime.ts'
import type { Log } from '../log.ts'
import type { SigningKeys } from '../crypto/signing-keys.ts'
import type { UpstreamStatus } from '../refresh/upstream-status.ts'
import type { Usage } from '../connections/usage.ts'
import type { DriveBudget } from '../drive/budget.ts'
import type { DriveCache } from '../drive/cache.ts'

const SECOND_MS = 1000
const DAY_MS = 24 * 60 * 60 * SECOND_MS

const FOLLOW_KEYS_INTERVAL_MS = SECOND_MS
const BUDGET_INTERVAL_MS = SECOND_MS
const FLUSH_INTERVAL_MS = 5 * SECOND_MS
const PURGE_INTERVAL_MS = 5 * SECOND_MS
const CACHE_SWEEP_INTERVAL_MS = 60 * SECOND_MS
const SWEEP_INTERVAL_MS = 10 * 60 * SECOND_MS

/** Connections whose grants of a removed app are revoked in one transaction. */
const REMOVED_APP_BATCH_SIZE = 10
/** Rows that one transaction deletes or marks as erased: other writers wait for a few milliseconds. */
const SWEEP_BATCH_SIZE = 10
const PURGE_BATCH_SIZE = 20

/** Used codes are kept this long, to detect a second use. */
const USED_CODE_RETENTION_MS = DAY_MS
/** Expired and revoked records stay visible this long. */
const ENDED_RETENTION_MS = 30 * DAY_MS

/** A sweep's time limit moves at most this far beyond that of the previous sweep. */
const MAX_SWEEP_STEP_MS = 7 * DAY_MS

/** Maintenance in the background: writes usage counts, completes pending erasures, deletes old records. */
interface Sweeper {
  start(): void
  /** Stops, and resolves when no work is in progress. */
  stop(): Promise<void>
  /** Deletes old records now. */
  sweep(): Promise<void>
}

export function createSweeper(dependencies: {
  store: Store
  usage: Usage
  upstream: Pick<UpstreamStatus, 'flush'>
  throttle: Throttle
  clock: Clock
  log: Log
  eventDays: number
  /** Loads changed encryption keys. */
  followKeys: () => Promise<void>
  keys: Pick<SigningKeys, 'maintain'>
  driveBudget: Pick<DriveBudget, 'flush'>
  driveCache: Pick<DriveCache, 'sweep'>
}): Sweeper {
  const { store, usage, upstream, throttle, clock, log, eventDays, followKeys, keys } = dependencies
  const { driveBudget, driveCache } = dependencies
  const stopping = new AbortController()
  let loops: Promise<void>[] = []

  /** The time this sweep goes by. It moves in limited steps, so a clock that is wrong for a while deletes nothing live. */
  const advanceSweepTime = async (): Promise<number> => {
    const { swept_until: previous } = await store.getMeta()
    const now = clock.now()
    const until = previous === undefined ? now : Math.min(now, Number(previous) + MAX_SWEEP_STEP_MS)
    await store.setMeta({ swept_until: String(until) })
    return until
  }

  const sweep = async (): Promise<void> => {
    const now = await advanceSweepTime()
    const bounds = {
      endedBefore: now - ENDED_RETENTION_MS,
      eventsBefore: now - eventDays * DAY_MS,
      keepUsedMs: USED_CODE_RETENTION_MS,
      limit: SWEEP_BATCH_SIZE,
    }
    const sweepBatch = () => store.sweep({ now, ...bounds })
    const swept = { codes: 0, deviceCodes: 0, links: 0, grants: 0, connections: 0, events: 0 }
    for (let hasMore = true; hasMore && !stopping.signal.aborted;) {
      const { more, ...rows } = await throttle(sweepBatch)
      for (const [kind, count] of Object.entries(rows)) swept[kind as keyof typeof swept] += count
      hasMore = more
    }
    while (!stopping.signal.aborted && (await throttle(() => store.releaseSpace())));
    if (Object.values(swept).some((rows) => rows > 0))
      log.info({ swept }, 'old records were deleted')
  }

  const maintainKeys = async (): Promise<void> => {
    const { swept_until: until } = await store.getMeta()
    await keys.maintain(until === undefined ? undefined : Number(until))
  }

  const completeErasures = async (): Promise<void> => {
    if (!(await store.isErasurePending())) return
    const purgeBatch = () => store.purge({ now: clock.now(), limit: PURGE_BATCH_SIZE })
    let outcome = await throttle(purgeBatch)
    while (outcome === 'more' && !stopping.signal.aborted) outcome = await throttle(purgeBatch)
    if (outcome === 'blocked') {
      log.warn(
        {},
        'erasure of revoked tokens is pending: another process has been reading the database for long',
      )
    } else if (!(await store.isErasurePending())) {
      log.info({}, 'erasure of revoked tokens is complete')
    }
  }

  /** A removed app is rejected at once; its grants are revoked in batches. */
  const endRemovedGrants = async (): Promise<void> => {
    const endBatch = () =>
      store.revokeGrantsOfRemovedApps({ now: clock.now(), limit: REMOVED_APP_BATCH_SIZE })
    while (!stopping.signal.aborted && (await throttle(endBatch)) > 0);
  }

  /** Revoking a connection empties its cache at once; this finds what bulk work and other processes revoked. */
  const sweepCache = (): Promise<void> =>
    driveCache.sweep(async (connectionId) => {
      const connection = await store.getConnection(connectionId)
      return (
        stopping.signal.aborted || (connection !== undefined && connection.status !== 'revoked')
      )
    })

  const repeat = async (intervalMs: number, work: () => Promise<void>): Promise<void> => {
    while (!stopping.signal.aborted) {
      await work().catch((error: unknown) => {
        log.error({ err: error }, 'maintenance failed; it will be retried')
      })
      await clock.sleep(intervalMs, stopping.signal)
    }
  }

  return {
    sweep,

    start() {
      loops = [
        repeat(FOLLOW_KEYS_INTERVAL_MS, followKeys),
        repeat(BUDGET_INTERVAL_MS, () => driveBudget.flush()),
        repeat(CACHE_SWEEP_INTERVAL_MS, sweepCache),
        repeat(FLUSH_INTERVAL_MS, () => usage.flush()),
        repeat(FLUSH_INTERVAL_MS, () => upstream.flush()),
        repeat(PURGE_INTERVAL_MS, completeErasures),
        repeat(PURGE_INTERVAL_MS, endRemovedGrants),
        repeat(SWEEP_INTERVAL_MS, sweep),
        repeat(SWEEP_INTERVAL_MS, maintainKeys),
      ]
    },

    async stop() {
      stopping.abort()
      await Promise.all(loops)
      await usage.flush()
      await driveBudget.flush().catch((error: unknown) => {
        log.warn({ err: error }, 'the counts of requests of the last second could not be written')
      })
      await upstream.flush()
    },
  }
}
