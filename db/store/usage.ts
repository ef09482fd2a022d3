import type { Millis } from '../model.ts'

/** Swaps and refreshes are counted, not logged: how often one of an app's ended in a way within an hour. */
export interface UsageCount {
  /** `null`: no app is known; it counts in the total alone. */
  appId: string | null
  /** Start of the hour. */
  hour: Millis
  kind: UsageKind
  /** `ok`, or an error code. */
  outcome: string
  count: number
}

/** `refresh`: calls of Ellipsis Drive for new tokens; a swap answered from the store makes none. */
export type UsageKind = 'swap' | 'refresh'

/** Counts of one kind and outcome, added up over a stretch of time. */
export interface UsageSum extends Pick<UsageCount, 'kind' | 'outcome' | 'count'> {
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

/** What is counted as it happens, so that nobody has to count rows. */
export interface UsageStore {
  /** Adds to the counts of use, by app and in total, and to the last use of grants and their connections. */
  recordUse(use: {
    grants: { id: string; lastUsedAt: Millis }[]
    counts: UsageCount[]
  }): Promise<void>
  /**
   * Counts since `since`, in stretches of `stretch` milliseconds from there on; those without any are left
   * out. `appId` `null`: all together.
   */
  sumUsage(filter: { appId: string | null; since: Millis; stretch: number }): Promise<UsageSum[]>
  /** Sums by app since `since`. */
  sumUsageByApp(since: Millis): Promise<(Omit<UsageSum, 'start'> & { appId: string })[]>
  /** Adds what one process saw of Ellipsis Drive; what others saw later stands. */
  recordUpstream(seen: UpstreamState): Promise<void>
  getUpstream(): Promise<UpstreamState>
}
