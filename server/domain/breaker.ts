import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
} from 'cockatiel'
import { BrokerError } from '../errors.ts'
import type { Clock } from './clock.ts'
import { isEllipsisError } from './failure.ts'

/** Keeps an outage upstream from becoming a call for every swap. */
export interface Breaker {
  /** Would a call be let through now? Ask before doing work that only leads up to one. */
  admits(): boolean
  /**
   * Makes the call, unless Ellipsis Drive is taken for down; then one call every two seconds tries it.
   * @throws BrokerError `temporarily_unavailable`
   */
  run<T>(call: () => Promise<T>): Promise<T>
  state(): 'closed' | 'open' | 'half-open'
}

const FAILURES = 5
const TRY_AGAIN = 2000

/** Is Ellipsis Drive itself in trouble, rather than one connection? */
const isOutage = (error: unknown): boolean =>
  isEllipsisError(error) &&
  error.kind === 'transient' &&
  (error.status === null || error.status === 429 || error.status >= 500)

export function createBreaker(clock: Clock): Breaker {
  const policy = circuitBreaker(handleWhen(isOutage), {
    halfOpenAfter: TRY_AGAIN,
    breaker: new ConsecutiveBreaker(FAILURES),
  })
  let brokenAt = 0
  policy.onBreak(() => {
    brokenAt = clock.now()
  })
  const waited = () => Math.abs(clock.now() - brokenAt) >= TRY_AGAIN

  return {
    admits: () =>
      policy.state === CircuitState.Closed || (policy.state === CircuitState.Open && waited()),

    async run(call) {
      try {
        return await policy.execute(call)
      } catch (cause) {
        if (!(cause instanceof BrokenCircuitError)) throw cause
        throw new BrokerError('temporarily_unavailable', { cause, retryAfter: TRY_AGAIN / 1000 })
      }
    },

    state: () =>
      policy.state === CircuitState.Closed
        ? 'closed'
        : policy.state === CircuitState.HalfOpen
          ? 'half-open'
          : 'open',
  }
}
