import { readGeneration } from './connections.ts'
import { call, MINUTE, SECOND } from './context.ts'
import type { Command } from './context.ts'

export const leaseCommands: Record<string, Command> = {
  takeLease: (at) => {
    const connection = at.one(at.tables.connections.values())
    return call('takeLease', {
      id: connection?.id ?? 'none',
      expectedGeneration: readGeneration(at, connection ?? { generation: 1 }),
      owner: at.owner(),
      now: at.now,
      until: at.now + at.choose(SECOND, 30 * SECOND, 30 * MINUTE),
      maxLeaseMs: MINUTE,
      deadOwner: at.choose(null, null, at.owner()),
    })
  },

  updateLease: (at) => {
    const { id, leaseOwner } = at.one(at.tables.connections.values()) ?? { id: 'none' }
    return call('updateLease', {
      id,
      owner: at.chance(80) ? (leaseOwner ?? 'me') : at.owner(),
      until: at.choose(null, at.now + 30 * SECOND),
    })
  },
}
