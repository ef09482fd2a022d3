import type { Store } from '../../db/store.ts'
import type { Clock, Throttle } from '../runtime.ts'
import type { Log } from '../log.ts'
import type { SigningKeys } from '../crypto/signing-keys.ts'
import type { UpstreamStatus } from '../refresh/upstream-status.ts'
import type { Usage } from '../connections/usage.ts'

const SECOND = 1000
const DAY = 24 * 60 * 60 * SECOND

/** How often each kind of upkeep is done, milliseconds. */
const KEYS_EVERY = SECOND
const FLUSH_EVERY = 5 * SECOND
const PURGE_EVERY = 5 * SECOND
const SWEEP_EVERY = 10 * 60 * SECOND

/** Connections whose grants of a removed app end in one go. */
const REMOVED_AT_ONCE = 10
/** Rows that a transaction deletes, or marks as erased: others wait for it for a few milliseconds. */
const SWEEP_BATCH = 10
const PURGE_BATCH = 20

/** Used codes are kept this long, so that a second use is noticed. */
const USED_CODES = DAY
/** What has ended stays visible this long. */
const ENDED = 30 * DAY

/** A sweep goes at most this much further than the one before it. */
const LONGEST_STRIDE = 7 * DAY

/** Upkeep that no request waits for: counts are written, pending erasures completed, the ended removed. */
export interface Sweeper {
  start(): void
  /** Ends it and resolves when nothing of it is under way. */
  stop(): Promise<void>
  /** Removes what has ended, now. */
  sweep(): Promise<void>
}

export function createSweeper(needs: {
  store: Store
  usage: Usage
  upstream: Pick<UpstreamStatus, 'flush'>
  throttle: Throttle
  clock: Clock
  log: Log
  eventDays: number
  /** Takes up a change of the encryption keys. */
  followKeys: () => Promise<void>
  keys: Pick<SigningKeys, 'maintain'>
}): Sweeper {
  const { store, usage, upstream, throttle, clock, log, eventDays, followKeys, keys } = needs
  const stopping = new AbortController()
  let loops: Promise<void>[] = []

  /** Up to when this sweep goes: a clock that is far ahead for a while deletes nothing that lives. */
  const reach = async (): Promise<number> => {
    const { swept_until: before } = await store.getMeta()
    const now = clock.now()
    const until = before === undefined ? now : Math.min(now, Number(before) + LONGEST_STRIDE)
    await store.setMeta({ swept_until: String(until) })
    return until
  }

  const sweep = async (): Promise<void> => {
    const now = await reach()
    const bounds = { endedBefore: now - ENDED, eventsBefore: now - eventDays * DAY }
    const sweepSome = () =>
      store.sweep({ now, keepUsedMs: USED_CODES, ...bounds, limit: SWEEP_BATCH })
    const swept = { flows: 0, codes: 0, deviceCodes: 0, grants: 0, connections: 0, events: 0 }
    for (let hasMore = true; hasMore && !stopping.signal.aborted;) {
      const { more, ...rows } = await throttle(sweepSome)
      for (const [kind, count] of Object.entries(rows)) swept[kind as keyof typeof swept] += count
      hasMore = more
    }
    if (Object.values(swept).some((rows) => rows > 0)) log.info({ swept }, 'swept what had ended')
  }

  const maintain = async (): Promise<void> => {
    const { swept_until: until } = await store.getMeta()
    await keys.maintain(until === undefined ? undefined : Number(until))
  }

  const erase = async (): Promise<void> => {
    if (!(await store.isErasurePending())) return
    const purgeSome = () => store.purge({ now: clock.now(), limit: PURGE_BATCH })
    let outcome = await throttle(purgeSome)
    while (outcome === 'more' && !stopping.signal.aborted) outcome = await throttle(purgeSome)
    if (outcome === 'blocked') {
      log.warn({}, 'erasure of revoked tokens is pending: something reads the database for long')
    } else if (!(await store.isErasurePending())) {
      log.info({}, 'erasure of revoked tokens is complete')
    }
  }

  /** A removed app is refused at once; what is left of it ends bit by bit. */
  const endRemoved = async (): Promise<void> => {
    const endSome = () =>
      store.revokeGrantsOfRemovedApps({ now: clock.now(), limit: REMOVED_AT_ONCE })
    while (!stopping.signal.aborted && (await throttle(endSome)) > 0);
  }

  const every = async (period: number, work: () => Promise<void>): Promise<void> => {
    while (!stopping.signal.aborted) {
      await work().catch((error: unknown) => {
        log.error({ err: error }, 'upkeep failed; it is tried again')
      })
      await clock.sleep(period, stopping.signal)
    }
  }

  return {
    sweep,

    start() {
      loops = [
        every(KEYS_EVERY, followKeys),
        every(FLUSH_EVERY, () => usage.flush()),
        every(FLUSH_EVERY, () => upstream.flush()),
        every(PURGE_EVERY, erase),
        every(PURGE_EVERY, endRemoved),
        every(SWEEP_EVERY, sweep),
        every(SWEEP_EVERY, maintain),
      ]
    },

    async stop() {
      stopping.abort()
      await Promise.all(loops)
      await usage.flush()
      await upstream.flush()
    },
  }
}
