import { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'
import type { SteadyClock } from '../runtime.ts'
import { createSemaphore } from '../semaphore.ts'
import { CallRate, SLOW_START_MS, slowStartDelayMs } from './slow-start.ts'

/**
 * `closed`: calls go through. `open`: Ellipsis Drive is considered down; one call per second is a trial.
 * `half-open`: a trial succeeded; the other calls follow in slow start.
 */
export type CircuitBreakerState = 'closed' | 'open' | 'half-open'

/** Protects Ellipsis Drive: no call for every swap during an outage, no rush of calls after it. */
export interface CircuitBreaker {
  /** Would a call be allowed now? Ask before doing work that only prepares a call. */
  allows(caller: Caller): boolean
  /**
   * Waits until the call may be made, and makes it. After a long wait it runs `beforeCall` first, which may
   * throw.
   * @throws BrokerError `temporarily_unavailable` if Ellipsis Drive is considered down
   */
  run<T>(caller: Caller, call: () => Promise<T>, beforeCall?: () => Promise<void>): Promise<T>
  state(): CircuitBreakerState
}

/** The connection that a call is made for. */
interface Caller {
  connectionId: string
  /** Did its last call fail? Then a call for another connection is the better trial. */
  failing: boolean
}

/** Opens after this many failures in a row, if they are of enough connections. */
const FAILURE_THRESHOLD = 5
const MIN_FAILING_CONNECTIONS = 3
/** Opens after this many failures in a row of any number of connections. */
const FAILURE_THRESHOLD_FEW_CONNECTIONS = 10
const TRIAL_INTERVAL_MS = 1000
/** A connection that failed itself leaves the trial to others for this long. */
const FAILING_CALLER_DELAY_MS = 1500
/** Longest `Retry-After` that is honoured. */
const MAX_RETRY_AFTER_MS = 60_000
const SLOW_CALL_MS = 10_000
/** Of one broker, so its workers share it. */
export const MAX_CONCURRENT_CALLS = 100
/** After a wait this long, `beforeCall` checks its conditions again. */
const LONG_WAIT_MS = 1000

/** Does the error show a problem of Ellipsis Drive, and not of one connection? */
const isOutage = (error: EllipsisError): boolean =>
  error.kind === 'transient' &&
  (error.status === null || error.status === 429 || error.status >= 500)

/** Status 429 with `Retry-After` is meant for all calls. */
const isRateLimit = (error: EllipsisError | null): boolean =>
  error?.status === 429 && error.retryAfterMs !== null

/**
 * @param limits.concurrentCalls the others wait
 * @param limits.slowCallMs a call without an answer for this long counts as failed; `Infinity`: none does
 */
export function createCircuitBreaker(
  clock: SteadyClock,
  limits: { concurrentCalls?: number; slowCallMs?: number } = {},
): CircuitBreaker {
  const { concurrentCalls = MAX_CONCURRENT_CALLS, slowCallMs = SLOW_CALL_MS } = limits
  const rate = new CallRate()
  const semaphore = createSemaphore(concurrentCalls)
  let failures = 0
  const failingConnections = new Set<string>()
  /** `null`: not open. */
  let openedAt: number | null = null
  let nextTrialAt = 0
  let halfOpenSince = -Infinity
  let callsSinceHalfOpen = 0

  const isDown = (error: EllipsisError | null): boolean =>
    (failures >= FAILURE_THRESHOLD && failingConnections.size >= MIN_FAILING_CONNECTIONS) ||
    failures >= FAILURE_THRESHOLD_FEW_CONNECTIONS ||
    isRateLimit(error)

  const recordFailure = ({ connectionId }: Caller, error: EllipsisError | null): void => {
    failures++
    if (failingConnections.size < MIN_FAILING_CONNECTIONS) failingConnections.add(connectionId)
    if (openedAt === null && !isDown(error)) return
    const now = clock.steady()
    const retryAfterMs = Math.min(error?.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
    openedAt ??= now
    nextTrialAt = Math.max(nextTrialAt, now + Math.max(TRIAL_INTERVAL_MS, retryAfterMs))
    rate.interrupt()
    semaphore.reset()
  }

  /** Records an answer. A call that began before the outage says nothing about its end. */
  const recordAnswer = (callBeganAt: number): void => {
    failures = 0
    failingConnections.clear()
    if (openedAt === null || callBeganAt < openedAt) return
    openedAt = null
    halfOpenSince = clock.steady()
    callsSinceHalfOpen = 0
  }

  const isHalfOpen = (): boolean => clock.steady() - halfOpenSince < SLOW_START_MS
  const allows = ({ failing }: Caller): boolean =>
    openedAt === null || clock.steady() >= nextTrialAt + (failing ? FAILING_CALLER_DELAY_MS : 0)

  /** Waits for the caller's turn in slow start, and for a slot. Returns the slot's release. */
  const enter = async (caller: Caller): Promise<() => void> => {
    let release = () => undefined as void
    if (openedAt === null) {
      if (isHalfOpen()) {
        const turnAt = halfOpenSince + slowStartDelayMs(callsSinceHalfOpen++, rate.perSecond)
        await clock.sleep(Math.max(0, turnAt - clock.steady()))
      } else rate.add(clock.steady())
      release = await semaphore.acquire()
    }
    if (openedAt === null) return release
    release()
    if (!allows(caller)) throw unavailable()
    nextTrialAt = clock.steady() + TRIAL_INTERVAL_MS
    return () => undefined
  }

  /** Makes the call, and records its outcome once: when it ends, or when it becomes slow. */
  const watch = async <T>(
    caller: Caller,
    call: () => Promise<T>,
    release: () => void,
  ): Promise<T> => {
    const beganAt = clock.steady()
    // Of each call of the proxy, aborting a timer would be a twelfth of the cost.
    const ended = slowCallMs === Infinity ? null : new AbortController()
    let isSlow = false
    if (ended) {
      void clock.sleep(slowCallMs, ended.signal).then(() => {
        if (ended.signal.aborted) return
        isSlow = true
        recordFailure(caller, null)
      })
    }
    try {
      const value = await call()
      recordAnswer(beganAt)
      return value
    } catch (error) {
      // Other errors, such as a lost lease, say nothing about Ellipsis Drive.
      if (error instanceof EllipsisError) {
        if (!isOutage(error)) recordAnswer(beganAt)
        else if (!isSlow) recordFailure(caller, error)
      }
      throw error
    } finally {
      ended?.abort()
      release()
    }
  }

  return {
    allows,

    async run(caller, call, beforeCall) {
      const beganAt = clock.steady()
      const release = await enter(caller)
      try {
        if (beforeCall && clock.steady() - beganAt > LONG_WAIT_MS) await beforeCall()
      } catch (error) {
        release()
        throw error
      }
      return watch(caller, call, release)
    },

    state: () => (openedAt !== null ? 'open' : isHalfOpen() ? 'half-open' : 'closed'),
  }
}

/** The worse of the states of several circuit breakers. */
export function worstState(...breakers: Pick<CircuitBreaker, 'state'>[]): CircuitBreakerState {
  const states = breakers.map((breaker) => breaker.state())
  return (['open', 'half-open'] as const).find((state) => states.includes(state)) ?? 'closed'
}

const unavailable = () => {
  const cause = new Error('Ellipsis Drive is considered down')
  const reason = 'upstream_unavailable'
  return new BrokerError('temporarily_unavailable', { cause, retryAfter: 2, reason })
}
