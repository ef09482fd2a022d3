import type { BulkRevocation, BulkStatus } from '../../../../db/store.ts'
import { call } from './context.ts'
import type { Command, Context } from './context.ts'

const bulkOf = (at: Context): BulkRevocation | undefined => at.one(at.tables.bulks.values())
const ownerOf = (at: Context, bulk: BulkRevocation | undefined): string =>
  at.chance(85) ? (bulk?.leaseOwner ?? 'me') : at.owner()
const connectionIds = (at: Context): string[] => at.some(at.tables.connections.keys())

export const bulkCommands: Record<string, Command> = {
  addBulk: (at) => {
    const request = { actor: 'admin:ann@x.example', address: at.address(), createdAt: at.now }
    const search = at.choose(null, 'ann', 'zoe', at.connectionId())
    const filter = { search, statuses: ['active' as const], appId: null }
    const lease = { leaseOwner: at.owner(), leaseForMs: at.leaseMs() }
    const what = at.choose({ connectionIds: connectionIds(at) }, { filter, ...lease })
    const event = at.events('bulk.requested')
    return call('addBulk', { ...request, ...what }, (id) =>
      event.map((one) => ({ ...one, details: `bulk revocation ${id}` })),
    )
  },

  takeBulk: (at) => call('takeBulk', { owner: at.owner(), forMs: at.leaseMs() }),

  updateBulk: (at) => {
    const bulk = bulkOf(at)
    const id = bulk?.id ?? 99
    const events = at.events('bulk.changed')
    const free = { leaseOwner: null }
    const live: BulkStatus[] = ['collecting', 'ready', 'running']
    const confirm = { status: 'running' as const, actor: 'admin:bea@x.example', startedAt: at.now }
    return call(
      'updateBulk',
      at.choose<Parameters<typeof call<'updateBulk'>>[1]>(
        { id, expected: { statuses: ['ready'] }, changes: confirm, events },
        { id, expected: { statuses: ['ready'] }, changes: confirm, events },
        {
          id,
          expected: { leaseOwner: ownerOf(at, bulk) },
          changes: { ...free, trouble: at.choose(null, 'trouble') },
          events,
        },
        {
          id,
          expected: { statuses: live },
          changes: { status: 'cancelled', endedAt: at.now, ...free },
          events,
        },
      ),
    )
  },

  addBulkItems: (at) => {
    const bulk = bulkOf(at)
    return call('addBulkItems', {
      ...{ id: bulk?.id ?? 99, owner: ownerOf(at, bulk), forMs: at.leaseMs() },
      ...{ connectionIds: connectionIds(at), cursor: at.choose(null, 'cursor') },
    })
  },

  revokeBulkItems: (at) => {
    const bulk = at.one([...at.tables.bulks.values()].filter(({ status }) => status === 'running'))
    return call('revokeBulkItems', {
      ...{ id: bulk?.id ?? 99, owner: ownerOf(at, bulk), now: at.now, forMs: at.leaseMs() },
      ...{ limit: 100, maxDurationMs: Infinity },
    })
  },
}
