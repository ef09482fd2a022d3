import type { App, Millis, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime.ts'

/**
 * Limits calls of Ellipsis Drive through the proxy and links, because each costs the account processing units.
 * Windows are fixed: a minute and a day of UTC. Calls are counted in memory and added up with those of other
 * processes once a second, so a limit may be exceeded by what other processes send within a second.
 */
export interface DriveBudget {
  /**
   * Counts a call that is about to be made. An answer from the cache is not a call.
   * @throws BrokerError `slow_down` with the seconds until the window ends, if a budget is used up
   */
  take(app: BudgetedApp, connectionId: string): void
  /** What an app or a connection has used, by all processes; empty: it has no limits. */
  use(of: BudgetedApp | { connectionId: string }): Promise<BudgetUse[]>
  /** Adds the counts to the store, and reads the totals. */
  flush(): Promise<void>
}

export type BudgetedApp = Pick<App, 'id' | 'requestsPerMinute' | 'requestsPerDay'>

/** Of the current window. */
export interface BudgetUse {
  window: 'minute' | 'day'
  limit: number
  used: number
  refused: number
}

/** Limits of every connection; `null`: none. */
export interface ConnectionLimits {
  requestsPerMinute: number | null
  requestsPerDay: number | null
}

export type Limit = `${'app' | 'connection'}_${BudgetUse['window']}`

interface Budget {
  limit: Limit
  owner: string
  window: BudgetUse['window']
  most: number
}

/** What is counted under one key within one window. */
interface Counter {
  until: Millis
  /** All processes together, as last read from the store. */
  total: number
  /** Not in the store yet. */
  pending: number
  isLogged: boolean
}

const WINDOW_MS = { minute: 60_000, day: 24 * 3_600_000 }
/** Counters in memory; one that is dropped is read from the store again. */
const MAX_COUNTERS = 20_000
/** Counters that one write adds to: other writers wait for some milliseconds. */
const BATCH_SIZE = 100

export function createDriveBudget(dependencies: {
  store: Pick<Store, 'addToCounters' | 'getCounters'>
  clock: Pick<Clock, 'now'>
  log: Log
  limits: ConnectionLimits
  /** A call was refused. */
  onRefused: (limit: Limit) => void
}): DriveBudget {
  const { store, clock, log, limits, onRefused } = dependencies
  const counters = new Map<string, Counter>()

  const counterOf = (key: string, until: Millis): Counter => {
    const known = counters.get(key)
    if (known && known.until === until) return known
    // What is pending of the window before is lost: it limits nothing any more.
    const counter = { until, total: 0, pending: 0, isLogged: false }
    counters.set(key, counter)
    return counter
  }

  const refuse = (budget: Budget, connectionId: string, now: Millis): never => {
    const { limit, owner, window, most } = budget
    const until = endOf(window, now)
    const refused = counterOf(keyOf(budget, 'refused'), until)
    refused.pending++
    onRefused(limit)
    if (!refused.isLogged) {
      refused.isLogged = true
      const about = limit.startsWith('app') ? { app: owner } : { connection: connectionId }
      log.warn(
        { ...about, limit: most, until: new Date(until).toISOString() },
        `a budget of requests per ${window} is used up; further requests are refused until it ends`,
      )
    }
    const whose = limit.startsWith('app') ? 'This app' : 'This user’s connection'
    throw new BrokerError('slow_down', {
      description: `${whose} has used its budget of ${most} requests per ${window}. Wait as long as Retry-After says.`,
      reason: `${limit}_budget_used`,
      retryAfter: Math.ceil((until - now) / 1000),
      isGuess: false,
    })
  }

  /** Drops counters of windows that have ended, and the oldest if there are too many. */
  const drop = (): void => {
    const now = clock.now()
    for (const [key, { until, pending }] of counters) {
      const isExcess = counters.size > MAX_COUNTERS && pending === 0
      if (until <= now || isExcess) counters.delete(key)
    }
  }

  return {
    take(app, connectionId) {
      const budgets = [...budgetsOfApp(app), ...budgetsOfConnection(connectionId, limits)]
      if (budgets.length === 0) return
      const now = clock.now()
      const taken = budgets.map((budget) => counterOf(keyOf(budget), endOf(budget.window, now)))
      const used = budgets.find((budget, at) => {
        const { total = 0, pending = 0 } = taken[at] ?? {}
        return total + pending >= budget.most
      })
      if (used) refuse(used, connectionId, now)
      for (const counter of taken) counter.pending++
    },

    async use(of) {
      const budgets =
        'connectionId' in of ? budgetsOfConnection(of.connectionId, limits) : budgetsOfApp(of)
      if (budgets.length === 0) return []
      const keys = budgets.flatMap((budget) => [keyOf(budget), keyOf(budget, 'refused')])
      const counts = await store.getCounters(keys, clock.now())
      return budgets.map(({ window, most }, at) => ({
        ...{ window, limit: most },
        used: counts[2 * at] ?? 0,
        refused: counts[2 * at + 1] ?? 0,
      }))
    },

    async flush() {
      drop()
      const changed = [...counters].filter(([, { pending }]) => pending > 0)
      for (let at = 0; at < changed.length; at += BATCH_SIZE) {
        const batch = changed.slice(at, at + BATCH_SIZE)
        const added = batch.map(([key, { pending: add, until }]) => ({ key, add, until }))
        const totals = await store.addToCounters(added)
        for (const [index, [, counter]] of batch.entries()) {
          // Calls that were counted meanwhile stay pending.
          counter.pending -= added[index]?.add ?? 0
          counter.total = totals[index] ?? counter.total
        }
      }
    },
  }
}

const endOf = (window: BudgetUse['window'], now: Millis): Millis =>
  (Math.floor(now / WINDOW_MS[window]) + 1) * WINDOW_MS[window]

const keyOf = ({ limit, owner }: Budget, what: 'used' | 'refused' = 'used'): string =>
  `drive ${limit} ${owner} ${what}`

const budgetsOf = (
  kind: 'app' | 'connection',
  owner: string,
  limits: ConnectionLimits,
): Budget[] => {
  const { requestsPerMinute, requestsPerDay } = limits
  const windows = [
    ['minute', requestsPerMinute],
    ['day', requestsPerDay],
  ] as const
  return windows.flatMap(([window, most]) =>
    most === null ? [] : [{ limit: `${kind}_${window}` as const, owner, window, most }],
  )
}

const budgetsOfApp = (app: BudgetedApp): Budget[] => budgetsOf('app', app.id, app)

const budgetsOfConnection = (id: string, limits: ConnectionLimits): Budget[] =>
  budgetsOf('connection', id, limits)
