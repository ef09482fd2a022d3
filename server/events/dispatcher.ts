import type { Delivery, NewDelivery, PublicEvent, Store } from '../../db/store.ts'
import type { Log } from '../log.ts'
import type { Random, SteadyClock, Throttle } from '../runtime.ts'
import { createSemaphore } from '../semaphore.ts'
import { toMessage } from './message.ts'
import { MAX_PAUSE_MS, nextAttemptAt, sinkPauseMs } from './retries.ts'
import { matches } from './sink.ts'
import type { Attempt, EventSink } from './sink.ts'

/** Gives new events to the sinks, and delivers them: one process at a time. */
export interface Dispatcher {
  start(): void
  /** Stops, and resolves when no attempt is in progress. What it interrupted is repeated later. */
  stop(): Promise<void>
}

/** Longer than any step; if a process is paused, the others wait this long. */
const LEASE_DURATION_MS = 15_000
const POLL_INTERVAL_MS = 1000
const ERROR_RETRY_DELAY_MS = 5000
/** Events that are read at a time. */
const BATCH_SIZE = 50
/** Deliveries that one transaction adds. */
const FILL_BATCH_SIZE = 100
/**
 * Attempts at a time: for sinks that work, for those whose last attempt failed, which so keep no others waiting,
 * and for one sink. Most of the time an attempt only waits.
 */
const MAX_ATTEMPTS_AT_ONCE = 128
const MAX_FAILING_ATTEMPTS_AT_ONCE = 64
const MAX_ATTEMPTS_PER_SINK = 4
/** How pending deliveries of a sink that was removed or disabled end: some at a time. */
export const ENDED = { error: 'the endpoint was removed or disabled', limit: 100 }

/** Failures of a sink in a row, and the time of the last one. */
interface SinkState {
  failures: number
  failedAt: number
}

/**
 * @param deps.sinks the sinks as they are now; called after the events were read, so that none is missed
 * @param deps.onGone called when a sink wants no more events
 * @param deps.processes this process's id, and which others have died
 */
export function createDispatcher(deps: {
  store: Store
  throttle: Throttle
  clock: SteadyClock
  random: Random
  log: Log
  processes: { id: string; hasDied: (id: string) => Promise<boolean> }
  sinks: () => Promise<EventSink[]>
  onGone: (sinkId: string) => Promise<void>
  onAttempt: (outcome: 'delivered' | 'failed' | 'given_up') => void
}): Dispatcher {
  const { store, throttle, clock, random, log, processes, onGone, onAttempt } = deps
  const owner = processes.id
  const stopping = new AbortController()
  const healthySlots = createSemaphore(MAX_ATTEMPTS_AT_ONCE)
  const failingSlots = createSemaphore(MAX_FAILING_ATTEMPTS_AT_ONCE)
  const states = new Map<string, SinkState>()
  /** Work on sinks in progress, by sink. */
  const workers = new Map<string, Promise<void>>()
  /** The sinks as last read, and the event up to which they were: each change of a webhook is an event, too. */
  let sinks = new Map<string, EventSink>()
  let sinksReadTo: number | null = null
  /** Until when this process has the lease, by its steady clock, and the last event that was given to the sinks. */
  let lease = { until: -Infinity, lastEventId: 0 }
  /** At first, the clock may have been ahead in an earlier process. */
  let lastLookAt = Infinity
  let loop: Promise<void> = Promise.resolve()

  const stateOf = (sinkId: string): SinkState => states.get(sinkId) ?? { failures: 0, failedAt: 0 }

  /** Takes or extends the lease, unless half of it remains. `false`: another process has it. */
  const takeLease = async (deadOwner: string | null = null): Promise<boolean> => {
    const beganAt = clock.steady()
    const remainingMs = lease.until - beganAt
    if (remainingMs > LEASE_DURATION_MS / 2 && remainingMs <= LEASE_DURATION_MS) return true
    const until = beganAt + LEASE_DURATION_MS
    const times = { forMs: LEASE_DURATION_MS, now: clock.now(), maxPauseMs: MAX_PAUSE_MS }
    const taken = await store.takeOutbox({ owner, ...times, deadOwner })
    if ('lastEventId' in taken) {
      lease = { until, ...taken }
      return true
    }
    const isDead = deadOwner === null && (await processes.hasDied(taken.owner))
    return isDead ? takeLease(taken.owner) : false
  }

  const loseLease = (): void => {
    lease = { until: -Infinity, lastEventId: 0 }
    sinksReadTo = null
  }

  /** In small transactions; the last one moves the position, and those before may be repeated. */
  const addDeliveries = async (
    lastEventId: number,
    readTo: number,
    all: NewDelivery[],
  ): Promise<boolean> => {
    for (let first = 0; ; first += FILL_BATCH_SIZE) {
      const isLast = first + FILL_BATCH_SIZE >= all.length
      const deliveries = all.slice(first, first + FILL_BATCH_SIZE)
      const batch = { owner, lastEventId, readTo: isLast ? readTo : lastEventId, deliveries }
      const isAdded = await throttle(() => store.fillOutbox(batch))
      if (isLast || !isAdded) return isAdded
    }
  }

  /** Gives new events to the sinks. */
  const fill = async (): Promise<void> => {
    for (let isEnd = false; !isEnd && !stopping.signal.aborted;) {
      const { lastEventId } = lease
      const page = await store.listPublicEvents({
        after: lastEventId,
        appId: null,
        limit: BATCH_SIZE,
      })
      if (page.readTo !== sinksReadTo) {
        sinks = new Map((await deps.sinks()).map((sink) => [sink.id, sink]))
        sinksReadTo = page.readTo
      }
      if (page.readTo === lastEventId) return
      const createdAt = clock.now()
      const deliveries = page.events.flatMap((event) =>
        [...sinks.values()]
          .filter((sink) => event.id > sink.afterEventId && matches(sink, event))
          .map((sink) => deliveryOf(event, sink.id, createdAt)),
      )
      if (!(await addDeliveries(lastEventId, page.readTo, deliveries))) return loseLease()
      lease.lastEventId = page.readTo
      ;({ isEnd } = page)
    }
  }

  /** Records what an attempt brought. `false`: the lease was lost, or the delivery changed meanwhile. */
  const record = async (delivery: Delivery, attempt: Attempt): Promise<boolean> => {
    const { outcome, answer, error, retryAfterMs } = attempt
    const attempts = delivery.attempts + 1
    const now = clock.now()
    const failed = { attempts, createdAt: delivery.createdAt, retryAfterMs }
    const nextAt = outcome === 'failed' ? nextAttemptAt(failed, { now, random }) : null
    const status = outcome === 'delivered' ? outcome : nextAt === null ? 'failed' : 'pending'
    onAttempt(outcome === 'delivered' ? outcome : status === 'failed' ? 'given_up' : 'failed')
    return store.recordAttempt({
      id: delivery.id,
      owner,
      expectedAttempts: delivery.attempts,
      outcome: { status, nextAt, answer, error, attemptedAt: now },
    })
  }

  const noteOutcome = (sinkId: string, { outcome, error: problem }: Attempt): void => {
    const { failures } = stateOf(sinkId)
    if (outcome === 'delivered') return void states.delete(sinkId)
    states.set(sinkId, { failures: failures + 1, failedAt: clock.now() })
    const details = { webhook: sinkId, problem }
    if (outcome === 'gone') log.warn(details, 'a webhook is disabled: its endpoint answered 410')
    else if (failures === 0) log.warn(details, 'an event could not be delivered; it is tried again')
  }

  /** Makes one attempt. `false`: it does not count, and the work on the sink ends. */
  const attempt = async (delivery: Delivery, sink: EventSink): Promise<boolean> => {
    const isFailing = stateOf(sink.id).failures > 0
    const release = await (isFailing ? failingSlots : healthySlots).acquire()
    try {
      if (stopping.signal.aborted) return false
      const event = await store.getPublicEvent(delivery.eventId)
      if (!event) {
        const error = 'the event was deleted'
        return await record(delivery, { outcome: 'gone', answer: null, error })
      }
      const result = await sink.deliver(toMessage(event, sink.appId), stopping.signal)
      // An attempt that the stop interrupted does not count.
      if (stopping.signal.aborted && result.outcome !== 'delivered') return false
      noteOutcome(sink.id, result)
      if (result.outcome === 'gone') await onGone(sink.id)
      const isRecorded = await record(delivery, result)
      if (!isRecorded) loseLease()
      return isRecorded
    } finally {
      release()
    }
  }

  /** Ends the deliveries of a sink that was removed or disabled. */
  const endAll = async (sinkId: string): Promise<void> => {
    states.delete(sinkId)
    const end = () => store.endDeliveries({ sinkId, ...ENDED })
    while (!stopping.signal.aborted && (await end()) > 0);
  }

  /** Delivers what is due to one sink, some at a time; to one that fails, one at a time. */
  const workOn = async (sinkId: string): Promise<void> => {
    for (let counts = true; counts && !stopping.signal.aborted;) {
      const sink = sinks.get(sinkId)
      if (!sink) return endAll(sinkId)
      const { failures, failedAt } = stateOf(sinkId)
      const now = clock.now()
      // If the clock went back, the pause is over.
      if (now >= failedAt && now < failedAt + sinkPauseMs(failures)) return
      const limit = failures > 0 ? 1 : MAX_ATTEMPTS_PER_SINK
      const due = await store.listDueDeliveries({ sinkId, now, limit })
      if (due.length === 0) return
      const results = await Promise.all(due.map((delivery) => attempt(delivery, sink)))
      counts = results.every(Boolean)
    }
  }

  const startWorker = (sinkId: string): void => {
    if (workers.has(sinkId)) return
    const worker = workOn(sinkId)
      .catch((error: unknown) =>
        log.error({ err: error }, 'delivering events failed; it is retried'),
      )
      .finally(() => workers.delete(sinkId))
    workers.set(sinkId, worker)
  }

  const work = async (): Promise<void> => {
    const now = clock.now()
    // Then deliveries may be due too far ahead.
    const isClockBack = now < lastLookAt
    lastLookAt = now
    if (!isClockBack && workers.size === 0 && !(await store.hasOutboxWork(now))) return
    if (!(await takeLease())) return
    await fill()
    for (const sinkId of await store.listDueSinks(clock.now())) startWorker(sinkId)
  }

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const delayMs = await work().then(
        () => POLL_INTERVAL_MS,
        (error: unknown) => {
          log.error({ err: error }, 'looking for events failed; it is retried')
          return ERROR_RETRY_DELAY_MS
        },
      )
      await clock.sleep(delayMs, stopping.signal)
    }
  }

  return {
    start() {
      loop = run()
    },

    async stop() {
      stopping.abort()
      await loop
      await Promise.all(workers.values())
      await store.releaseOutbox(owner).catch(() => undefined)
    },
  }
}

/** The delivery of an event to a sink. */
export const deliveryOf = (
  { id, connectionId }: Pick<PublicEvent, 'id' | 'connectionId'>,
  sinkId: string,
  createdAt: number,
) => ({ sinkId, eventId: id, connectionId, createdAt })
