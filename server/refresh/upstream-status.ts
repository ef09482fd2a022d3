import type { Millis, Store, UpstreamState } from '../../db/store.ts'
import { mergeUpstream } from '../../db/upstream-state.ts'
import type { Endpoint, Outcome } from '../ellipsis/client.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime.ts'

/** Whether Ellipsis Drive answers, for display, health checks and the log. */
export interface UpstreamStatus {
  /**
   * Records the outcome of a call, in memory only, so that no swap waits for it. Logs one line when Ellipsis
   * Drive begins to fail, and one when it answers again.
   */
  recordCall(outcome: Outcome, endpoint: Endpoint): void
  /** Since when Ellipsis Drive refuses the client id or secret of this broker; `null`: as far as known, it does not. */
  clientRefusedSince(): Millis | null
  /** Since when it accepts them, as far as this process knows; `null`: it does not, or was not asked. */
  clientAcceptedSince(): Millis | null
  /** Writes what was recorded to the store, for the other processes. Call it every few seconds. */
  flush(): Promise<void>
  /** The state as recorded by this process and flushed by the others. Changes nothing. */
  state(): Promise<UpstreamState>
}

const UNKNOWN_STATE: UpstreamState = {
  answeredAt: null,
  failedAt: null,
  failingSince: null,
  lastError: null,
}

/** While calls fail now and then, the log has at most one change for the worse in this time. */
const MIN_LOG_INTERVAL_MS = 60_000
/** For so long, a success outweighs a single refusal of the broker's own client. */
const ACCEPTANCE_LIFETIME_MS = 60_000

export function createUpstreamStatus(deps: {
  store: Store
  clock: Clock
  log: Log
}): UpstreamStatus {
  const { store, clock, log } = deps
  let recorded = UNKNOWN_STATE
  let flushed = true
  let clientRefusedSince: Millis | null = null
  let clientAcceptedSince: Millis | null = null
  let clientAcceptedAt = -Infinity
  let clientRefusals = 0
  /** The problem that the log has; `null`: that Ellipsis Drive answers. */
  let logged: { since: Millis; isClient: boolean } | null = null
  let problemLoggedAt = -Infinity

  /** One refusal between successes may be due to a single grant. */
  const recordClient = (outcome: Outcome, endpoint: Endpoint, now: Millis): void => {
    // Only the token endpoint reads the client's secret.
    if (endpoint === 'account' || endpoint === 'drive') return
    if (ACCEPTED_CLIENT.has(outcome)) {
      ;[clientRefusedSince, clientAcceptedAt, clientRefusals] = [null, now, 0]
      clientAcceptedSince ??= now
    } else if (outcome === 'misconfigured') {
      const isAcceptedLately = Math.abs(now - clientAcceptedAt) < ACCEPTANCE_LIFETIME_MS
      if (++clientRefusals > 1 || !isAcceptedLately) {
        clientRefusedSince ??= now
        clientAcceptedSince = null
      }
    }
  }

  const logChange = (problem: string | null, now: Millis): void => {
    if (problem === null) {
      if (logged === null || clientRefusedSince !== null) return
      const seconds = Math.round((now - logged.since) / 1000)
      log.info({ seconds }, 'Ellipsis Drive answers again')
      logged = null
      return
    }
    const isClient = clientRefusedSince !== null
    const elapsedMs = Math.abs(now - problemLoggedAt)
    if (logged?.isClient === isClient || elapsedMs < MIN_LOG_INTERVAL_MS) return
    problemLoggedAt = now
    logged = { since: logged?.since ?? now, isClient }
    if (isClient) log.error({}, `Ellipsis Drive ${CLIENT_REFUSED}`)
    else log.warn({}, `Ellipsis Drive fails: ${problem}`)
  }

  return {
    clientRefusedSince: () => clientRefusedSince,
    clientAcceptedSince: () => clientAcceptedSince,

    recordCall(outcome, endpoint) {
      const now = clock.now()
      const problem = describeProblem(outcome)
      recordClient(outcome, endpoint, now)
      recorded =
        problem === null
          ? { ...recorded, answeredAt: now, failingSince: null }
          : {
              ...recorded,
              failedAt: now,
              failingSince: recorded.failingSince ?? now,
              lastError: problem,
            }
      flushed = false
      if (outcome !== 'misconfigured' || clientRefusedSince !== null) logChange(problem, now)
    },

    async flush() {
      if (flushed) return
      flushed = true
      try {
        await store.recordUpstream(recorded)
      } catch (error) {
        flushed = false
        throw error
      }
    },

    state: async () => mergeUpstream(await store.getUpstream(), recorded),
  }
}

/** Outcomes of calls whose client was accepted. */
const ACCEPTED_CLIENT = new Set<Outcome>(['ok', 'refresh_token_lost', 'refused'])

const CLIENT_REFUSED =
  'refuses this broker’s own client: check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET'

/** The current problem of Ellipsis Drive, and since when; `null`: none is known. */
export function currentProblem({
  failingSince: since,
  lastError: error,
}: UpstreamState): { since: Millis; error: string } | null {
  return since === null || error === null ? null : { since, error }
}

/** The problem that an outcome shows, as text; `null`: Ellipsis Drive answered as expected. */
function describeProblem(outcome: Outcome): string | null {
  if (outcome === 'failed') return 'it gave no answer in time, or could not be reached'
  if (outcome === 'unusable') return 'it gave an answer that the broker can’t read'
  if (outcome === 'misconfigured') return `it ${CLIENT_REFUSED}`
  const status = Number(outcome)
  if (status === 429) return 'it asks for fewer calls (status 429)'
  return status >= 500 ? `it answers with status ${status}` : null
}
