import type { Millis, Store, UpstreamState } from '../../db/store.ts'
import { mergeUpstream } from '../../db/upstream-state.ts'
import type { Outcome } from '../ellipsis/client.ts'
import type { Clock } from '../runtime.ts'

/** Whether Ellipsis Drive answers, for display and health checks. */
export interface UpstreamStatus {
  /** Records the outcome of a call, in memory only, so that no swap waits for it. */
  recordCall(outcome: Outcome): void
  /** Writes what was recorded to the store, for the other processes. Call it every few seconds. */
  flush(): Promise<void>
  /** Since when Ellipsis Drive refuses this broker's own client, as its latest answer says; `null`: it does not. */
  clientRefusedSince(): Millis | null
  /** The state as recorded by this process and flushed by the others. Changes nothing. */
  state(): Promise<UpstreamState>
}

const UNKNOWN_STATE: UpstreamState = {
  answeredAt: null,
  failedAt: null,
  failingSince: null,
  lastError: null,
}

export function createUpstreamStatus(deps: { store: Store; clock: Clock }): UpstreamStatus {
  const { store, clock } = deps
  let recorded = UNKNOWN_STATE
  let flushed = true
  let clientRefusedSince: Millis | null = null

  return {
    recordCall(outcome) {
      const now = clock.now()
      const problem = describeProblem(outcome)
      // An outage in between changes nothing about the client.
      if (outcome === 'misconfigured') clientRefusedSince ??= now
      else if (problem === null) clientRefusedSince = null
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

    clientRefusedSince: () => clientRefusedSince,

    state: async () => mergeUpstream(await store.getUpstream(), recorded),
  }
}

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
  if (outcome === 'misconfigured') {
    return 'it refuses this broker’s own client: check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET'
  }
  const status = Number(outcome)
  if (status === 429) return 'it asks for fewer calls (status 429)'
  return status >= 500 ? `it answers with status ${status}` : null
}
