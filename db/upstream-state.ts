import type { Millis, UpstreamState } from './store.ts'

/**
 * Merges what two processes recorded of upstream: it is failing if one of them says so, and its last failure is later
 * than the last answer to both.
 */
export function mergeUpstream(one: UpstreamState, other: UpstreamState): UpstreamState {
  const answeredAt = latest(one.answeredAt, other.answeredAt)
  const failedAt = latest(one.failedAt, other.failedAt)
  const { lastError } = (other.failedAt ?? 0) >= (one.failedAt ?? 0) ? other : one
  // Failures before an answer to the other process are over.
  const since = [one, other].flatMap(({ failingSince, failedAt }) => {
    if (failingSince === null || failedAt === null || failedAt <= (answeredAt ?? 0)) return []
    return [failingSince > (answeredAt ?? 0) ? failingSince : failedAt]
  })
  const failingSince = since.length > 0 ? Math.min(...since) : null
  return { answeredAt, failedAt, failingSince, lastError }
}

const latest = (one: Millis | null, other: Millis | null): Millis | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other)
