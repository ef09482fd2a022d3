import type { Millis, Store, UpstreamState } from '../../db/store.ts'
import { mergeUpstream } from '../../db/upstream-state.ts'
import type { Outcome } from '../ellipsis/client.ts'
import type { Clock } from '../runtime.ts'

/** Whether Ellipsis Drive answers, told apart from connections that it has ended. */
export interface UpstreamStatus {
  /** A call of it has ended. Costs nothing that a swap would wait for. */
  saw(outcome: Outcome): void
  /** Tells the other processes what was seen; every few seconds. */
  flush(): Promise<void>
  /** As all processes saw it, up to what the others didn't tell yet. Changes nothing. */
  state(): Promise<UpstreamState>
}

export function createUpstreamStatus(needs: { store: Store; clock: Clock }): UpstreamStatus {
  const { store, clock } = needs
  let [seen, told]: [UpstreamState, boolean] = [NOTHING, true]

  const flush = async (): Promise<void> => {
    if (told) return
    told = true
    try {
      await store.recordUpstream(seen)
    } catch (error) {
      told = false
      throw error
    }
  }

  return {
    saw(outcome) {
      const [at, trouble] = [clock.now(), troubleOf(outcome)]
      seen =
        trouble === null
          ? { ...seen, answeredAt: at, failingSince: null }
          : { ...seen, failedAt: at, failingSince: seen.failingSince ?? at, lastError: trouble }
      told = false
    },

    flush,

    state: async () => mergeUpstream(await store.getUpstream(), seen),
  }
}

/** What ails Ellipsis Drive now, and since when; `null`: nothing, as far as is known. */
export function troubleNow({
  failingSince: since,
  lastError: error,
}: UpstreamState): { since: Millis; error: string } | null {
  return since === null || error === null ? null : { since, error }
}

const NOTHING: UpstreamState = {
  answeredAt: null,
  failedAt: null,
  failingSince: null,
  lastError: null,
}

/** What ails Ellipsis Drive, or the broker's own client there, in words; `null`: it answered as it should. */
function troubleOf(outcome: Outcome): string | null {
  if (outcome === 'failed') return 'it gave no answer in time, or could not be reached'
  if (outcome === 'unusable') return 'it gave an answer that makes no sense'
  if (outcome === 'misconfigured') {
    return 'it refuses this broker’s own client: check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET'
  }
  const status = Number(outcome)
  if (status === 429) return 'it asks for fewer calls (status 429)'
  return status >= 500 ? `it answers with status ${status}` : null
}
