import { newTokens, readGeneration } from './connections.ts'
import { call, HOUR, MINUTE } from './context.ts'
import type { Command, Context } from './context.ts'

const failureOf = (at: Context) => ({
  lastError: 'failed',
  retryAt: at.choose(null, at.now, at.now + MINUTE, at.now + HOUR),
})

export const refreshCommands: Record<string, Command> = {
  saveTokens: (at) => {
    const connection = at.one(at.tables.connections.values())
    if (!connection) return null
    return call('saveTokens', {
      id: connection.id,
      expectedGeneration: readGeneration(at, connection),
      tokens: newTokens(at),
      previousRefreshToken: at.choose(null, at.sealed('previous')),
      ...(at.chance(20) && { failure: failureOf(at) }),
      now: at.now,
      events: at.events('connection.recovered', { connectionId: connection.id }),
    })
  },

  saveFailure: (at) => {
    const connection = at.one(at.tables.connections.values())
    if (!connection) return null
    return call('saveFailure', {
      ...failureOf(at),
      id: connection.id,
      expectedGeneration: readGeneration(at, connection),
      owner: at.chance(70) ? (connection.leaseOwner ?? 'me') : at.owner(),
      status: at.choose('active', 'needs_reconnect'),
      isRejection: at.chance(50),
      ...at.choose({}, { staleReason: null }, { staleReason: 'answer_lost' as const }),
      dropPrevious: at.chance(30),
      events: at.events('connection.needs_reconnect', { connectionId: connection.id }),
    })
  },
}
