import type { Millis, UpstreamState } from './store.ts'

/** Merges what two processes recorded of upstream: it is failing if the latest call of both failed. */
export function mergeUpstream(one: UpstreamState, other: UpstreamState): UpstreamState {
  const answeredAt = latest(one.answeredAt, other.answeredAt)
  const failedAt = latest(one.failedAt, other.failedAt)
  const { lastError } = (other.failedAt ?? 0) >= (one.failedAt ?? 0) ? other : one
  const isFailing = failedAt !== null && failedAt > (answeredAt ?? 0)
  // Failures before an answer to the other process are over.
  const since = [one, other].flatMap(({ failingSince, failedAt }) => {
    if (failingSince === null || failedAt === null || failedAt <= (answeredAt ?? 0)) return []
    return [failingSince > (answeredAt ?? 0) ? failingSince : failedAt]
  })
  return { answeredAt, failedAt, failingSince: isFailing ? Math.min(...since) : null, lastError }
}

const latest = (one: Millis | null, other: Millis | null): Millis | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other)
