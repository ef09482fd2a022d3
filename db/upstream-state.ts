import type { Millis, UpstreamState } from './store.ts'

/** Merges what two processes saw of upstream: it fails if the latest that either saw was a failure. */
export function mergeUpstream(one: UpstreamState, other: UpstreamState): UpstreamState {
  const answeredAt = latest(one.answeredAt, other.answeredAt)
  const failedAt = latest(one.failedAt, other.failedAt)
  const since = [one, other]
    .map(({ failingSince }) => failingSince ?? 0)
    .filter((at) => at > (answeredAt ?? 0))
  const { lastError } = (other.failedAt ?? 0) >= (one.failedAt ?? 0) ? other : one
  return {
    answeredAt,
    failedAt,
    failingSince: since.length > 0 ? Math.min(...since) : null,
    lastError,
  }
}

const latest = (one: Millis | null, other: Millis | null): Millis | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other)
