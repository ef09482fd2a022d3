import type { Connection, UpstreamState } from '../../../../db/store.ts'
import type { Badge } from '../../../../views/admin/models.ts'

type Health = Pick<Connection, 'status' | 'failures'>

/** How a connection is, in a word or three: one that has ended is told apart from an outage upstream. */
export function badgeOf({ status, failures }: Health, upstream: UpstreamState): Badge {
  if (status === 'revoked') return { tone: 'quiet', words: 'Revoked' }
  if (status === 'needs_reconnect') return { tone: 'bad', words: 'Needs reconnecting' }
  if (failures === 0) return { tone: 'good', words: 'Connected' }
  const away = upstream.failingSince !== null
  return { tone: 'warn', words: away ? 'Waiting for Ellipsis Drive' : 'Last refresh failed' }
}
