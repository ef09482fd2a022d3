import { BrokerError } from '../errors.ts'
import type { SteadyClock } from '../runtime.ts'
import { isEllipsisError } from './failure-policy.ts'
import { SLOW_START_MS, Rate, slowStartDelayMs } from './slow-start.ts'

/**
 * `closed`: calls go through. `open`: Ellipsis Drive is taken for down; one call a second tries it.
 * `half-open`: one came through; the others follow, each in its turn.
 */
export type CircuitBreakerState = 'closed' | 'open' | 'half-open'

/** Keeps an outage upstream from becoming a call for every swap, and its end from becoming a stampede. */
export interface CircuitBreaker {
  /** Would a call be let through now? Ask before doing work that only leads up to one. */
  admits(who: Caller): boolean
  /**
   * Waits for a turn, and makes the call. After a long wait `ready` runs first; it may throw.
   * @throws BrokerError `temporarily_unavailable` where Ellipsis Drive is taken for down
   */
  run<T>(who: Caller, call: () => Promise<T>, ready?: () => Promise<void>): Promise<T>
  state(): CircuitBreakerState
}

/** Whom a call is made for. */
export interface Caller {
  /** A connection's. */
  id: string
  /** Did its last call fail? Then another's tells more. */
  failing: boolean
}

/** So many failures in a row, of so many connections, and Ellipsis Drive is taken for down. */
const FAILURES = 5
const OF_CONNECTIONS = 3
/** Or so many in a row, where hardly anyone calls. */
const FAILURES_OF_FEW = 10
const TRIAL_EVERY = 1000
/** A connection that failed itself leaves the trial to others for so long, milliseconds. */
const FAILING_WAITS = 1500
/** Upstream's wish to be left alone is honoured up to this. Milliseconds. */
const LONGEST_WISH = 60_000
/** A call without an answer for so long counts as failed, milliseconds: nobody waits for it any more. */
const SLOW = 10_000
/** Calls under way at once. */
const AT_ONCE = 100
/** A wait before a call, milliseconds, after which what it rests on is looked at again. */
const LONG = 1000

/** Is Ellipsis Drive itself in trouble, rather than one connection? */
const isOutage = (error: unknown): boolean =>
  isEllipsisError(error) &&
  error.kind === 'transient' &&
  (error.status === null || error.status === 429 || error.status >= 500)

/** Too many calls, and told how long to make none: that is meant for all of them. */
const asksForPeace = (error: unknown): boolean =>
  isEllipsisError(error) && error.status === 429 && error.retryAfterMs !== null

const wishOf = (error: unknown): number =>
  isEllipsisError(error) ? Math.min(error.retryAfterMs ?? 0, LONGEST_WISH) : 0

export function createCircuitBreaker(clock: SteadyClock): CircuitBreaker {
  const rate = new Rate()
  const slots = createSlots(AT_ONCE)
  let failures = 0
  const failing = new Set<string>()
  /** Open since; `null`: it isn't. */
  let openedAt: number | null = null
  let nextTrialAt = 0
  /** Half-open since, and how many were given a turn. */
  let [resumedAt, turns] = [-Infinity, 0]

  const isDown = (error: unknown): boolean =>
    (failures >= FAILURES && failing.size >= OF_CONNECTIONS) ||
    failures >= FAILURES_OF_FEW ||
    asksForPeace(error)

  const failed = ({ id }: Caller, error?: unknown): void => {
    failures++
    if (failing.size < OF_CONNECTIONS) failing.add(id)
    if (openedAt === null && !isDown(error)) return
    const now = clock.steady()
    openedAt ??= now
    nextTrialAt = Math.max(nextTrialAt, now + Math.max(TRIAL_EVERY, wishOf(error)))
    rate.interrupt()
    slots.clear()
  }

  /** An answer to a call that began at `at`; an older one tells nothing of an outage that came after. */
  const answered = (at: number): void => {
    failures = 0
    failing.clear()
    if (openedAt === null || at < openedAt) return
    openedAt = null
    ;[resumedAt, turns] = [clock.steady(), 0]
  }

  const isResuming = (): boolean => clock.steady() - resumedAt < SLOW_START_MS
  const admits = (who: Caller): boolean =>
    openedAt === null || clock.steady() >= nextTrialAt + (who.failing ? FAILING_WAITS : 0)

  /** Waits for its turn after an outage, and for a slot. Answers how to give the slot back. */
  const enter = async (who: Caller): Promise<() => void> => {
    let leave = () => undefined as void
    if (openedAt === null) {
      if (isResuming()) {
        const turn = resumedAt + slowStartDelayMs(turns++, rate.perSecond)
        await clock.sleep(Math.max(0, turn - clock.steady()))
      } else rate.add(clock.steady())
      leave = await slots.take()
    }
    if (openedAt === null) return leave
    leave()
    if (!admits(who)) throw unavailable()
    nextTrialAt = clock.steady() + TRIAL_EVERY
    return () => undefined
  }

  /** Makes the call and learns from it, once: from its answer, or from there being none in time. */
  const watch = async <T>(who: Caller, call: () => Promise<T>, leave: () => void): Promise<T> => {
    const at = clock.steady()
    const done = new AbortController()
    let late = false
    void clock.sleep(SLOW, done.signal).then(() => {
      if (done.signal.aborted) return
      late = true
      failed(who)
    })
    const learn = async (): Promise<T> => {
      try {
        const value = await call()
        answered(at)
        return value
      } catch (error) {
        // What isn't of Ellipsis Drive's making, such as a lease that has ended, tells nothing of it.
        if (isEllipsisError(error)) {
          if (!isOutage(error)) answered(at)
          else if (!late) failed(who, error)
        }
        throw error
      }
    }
    return learn().finally(() => {
      done.abort()
      leave()
    })
  }

  return {
    admits,

    async run(who, call, ready) {
      const at = clock.steady()
      const leave = await enter(who)
      try {
        if (ready && clock.steady() - at > LONG) await ready()
      } catch (error) {
        leave()
        throw error
      }
      return watch(who, call, leave)
    },

    state: () => (openedAt !== null ? 'open' : isResuming() ? 'half-open' : 'closed'),
  }
}

/** So many at once; the others queue. */
function createSlots(count: number) {
  const queue: ((leave: () => void) => void)[] = []
  let taken = new Set<symbol>()

  const give = (): (() => void) => {
    const slot = Symbol('slot')
    taken.add(slot)
    return () => {
      if (taken.delete(slot)) queue.shift()?.(give())
    }
  }

  return {
    /** Answers how to give it back; twice does nothing. */
    take: (): Promise<() => void> =>
      taken.size < count ? Promise.resolve(give()) : new Promise((resolve) => queue.push(resolve)),
    /** Frees all of them, and lets everyone who queues go without one. */
    clear(): void {
      taken = new Set()
      for (const resolve of queue.splice(0)) resolve(() => undefined)
    },
  }
}

const unavailable = () => {
  const cause = new Error('Ellipsis Drive is taken for down')
  return new BrokerError('temporarily_unavailable', { cause, retryAfter: 2 })
}
