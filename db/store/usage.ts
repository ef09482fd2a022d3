import type { Millis } from '../model.ts'

/** How many swaps or refreshes of an app had one outcome within one hour. They are counted, not logged. */
export interface UsageCount {
  /** `null`: the app is unknown; counted in the total only. */
  appId: string | null
  /** Start of the hour. */
  hour: Millis
  kind: UsageKind
  /** `ok`, or an error code. */
  outcome: string
  count: number
}

/**
 * `refresh`: calls of Ellipsis Drive for new tokens; a swap answered from the store makes none. `drive`: requests
 * through the proxy and by links.
 */
export type UsageKind = 'swap' | 'refresh' | 'drive'

/** Counts of one kind and outcome, summed over a stretch of time. `appId` `null`: of all apps together. */
export interface UsageSum extends Pick<UsageCount, 'appId' | 'kind' | 'outcome' | 'count'> {
  /** Start of the stretch. */
  start: Millis
}

/** How Ellipsis Drive has answered, in every process. */
export interface UpstreamState {
  /** The last answer that shows it to be up; a refused grant is one. */
  answeredAt: Millis | null
  /** The last call without such an answer. */
  failedAt: Millis | null
  /** The first failure since the last good answer; `null`: it is up, as far as is known. */
  failingSince: Millis | null
  /** What the last failure was, for people; never a secret. */
  lastError: string | null
}

/** Counters, updated as things happen, so that no query counts rows. */
export interface UsageStore {
  /**
   * Adds to the counts of use, by app and in total, and to the last use of grants and their connections, and of
   * links.
   */
  recordUse(use: {
    grants: { id: string; lastUsedAt: Millis }[]
    counts: UsageCount[]
    /** `uses`: how many more. */
    links?: { id: string; lastUsedAt: Millis; uses: number }[]
  }): Promise<void>
  /**
   * Sums since `since`, which is the start of an hour; empty ones are left out.
   * @param filter.appId one app; `null`: all apps together; left out: each app by itself
   * @param filter.stretchMs length of the stretches that the time is divided into; left out: one stretch
   */
  sumUsage(filter: {
    appId?: string | null
    since: Millis
    stretchMs?: number
  }): Promise<UsageSum[]>
  /**
   * Adds to counters, each of a window that ends at `until`, and returns their totals in that order. A counter whose
   * window has ended begins at 0. May be lost with the power.
   */
  addToCounters(counters: { key: string; add: number; until: Millis }[]): Promise<number[]>
  /** The totals of counters, in that order; 0 if the counter is missing or its window has ended. */
  getCounters(keys: string[], now: Millis): Promise<number[]>
  /** Adds what one process saw of Ellipsis Drive; what others saw later takes precedence. */
  recordUpstream(seen: UpstreamState): Promise<void>
  getUpstream(): Promise<UpstreamState>
}
