import { readGeneration } from './connections.ts'
import { call, DAY, MINUTE } from './context.ts'
import type { Command } from './context.ts'

export const leaseCommands: Record<string, Command> = {
  takeLease: (at) => {
    const connection = at.one(at.tables.connections.values())
    return call('takeLease', {
      id: connection?.id ?? 'none',
      expectedGeneration: readGeneration(at, connection ?? { generation: 1 }),
      owner: at.owner(),
      forMs: at.leaseMs(),
      // Most count as lasting, some as too long.
      maxLeaseMs: at.choose(2 * DAY, 2 * DAY, MINUTE),
      deadOwner: at.choose(null, null, at.owner()),
    })
  },

  updateLease: (at) => {
    const { id, leaseOwner } = at.one(at.tables.connections.values()) ?? { id: 'none' }
    return call('updateLease', {
      id,
      owner: at.chance(80) ? (leaseOwner ?? 'me') : at.owner(),
      forMs: at.choose(null, at.leaseMs()),
    })
  },
}
