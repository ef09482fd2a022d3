import type { BulkRevocation, Connection } from '../../../../db/store.ts'
import { NO_LEASE, revoke } from './connections.ts'
import { pick } from './grants.ts'
import { isUnrevoked, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'addBulk'
  | 'getBulk'
  | 'listBulks'
  | 'takeBulk'
  | 'updateBulk'
  | 'addBulkItems'
  | 'revokeBulkItems'
  | 'listBulkItems'

type Bulk = BulkRevocation & Pick<Connection, 'leaseRemainingMs'>

export const bulkRules = (tables: Tables): Answering<Methods> => {
  const { bulks, bulkItems, connections } = tables
  const items = (id: number) => bulkItems.get(id) ?? new Map<string, string | null>()
  const find = (id: number): BulkRevocation | undefined => {
    const bulk = bulks.get(id)
    return bulk && withoutEnd(bulk)
  }
  const change = (id: number, changes: Partial<Bulk>): void => {
    bulks.set(id, { ...(bulks.get(id) as Bulk), ...changes })
  }

  return {
    addBulk(bulk, events) {
      const id = tables.newBulkIds.shift() ?? tables.lastBulkId + 1
      tables.lastBulkId = id
      const picked = 'connectionIds' in bulk ? bulk.connectionIds.filter(isLive) : null
      const { actor, address, createdAt } = bulk
      bulks.set(id, {
        ...{ id, actor, address, createdAt, startedAt: null, endedAt: null },
        status: picked ? 'ready' : 'collecting',
        filter: 'filter' in bulk ? bulk.filter : null,
        ...{ total: picked?.length ?? 0, revoked: 0, skipped: 0, failed: 0 },
        ...{ cursor: null, trouble: null },
        leaseOwner: 'filter' in bulk ? bulk.leaseOwner : null,
        leaseRemainingMs: 'filter' in bulk ? bulk.leaseForMs : null,
      })
      bulkItems.set(id, new Map(picked?.map((connectionId) => [connectionId, null])))
      writeEvents(tables, events(id))
      return id
    },

    getBulk: find,

    listBulks: (limit) =>
      sortBy(bulks.values(), ({ id }) => -id)
        .slice(0, limit)
        .map(withoutEnd),

    takeBulk({ owner, forMs }) {
      const free = [...bulks.values()].find(
        ({ status, leaseRemainingMs }) =>
          (status === 'collecting' || status === 'running') && hasEnded(leaseRemainingMs, forMs),
      )
      if (!free) return undefined
      change(free.id, { leaseOwner: owner, leaseRemainingMs: forMs })
      return find(free.id)
    },

    updateBulk({ id, expected: { statuses, leaseOwner }, changes, events }) {
      const bulk = bulks.get(id)
      if (!bulk) return false
      if (statuses && !statuses.includes(bulk.status)) return false
      if (leaseOwner !== undefined && bulk.leaseOwner !== leaseOwner) return false
      change(id, { ...changes, ...(changes.leaseOwner === null && NO_LEASE) })
      writeEvents(tables, events)
      return true
    },

    addBulkItems({ id, owner, forMs, connectionIds, cursor }) {
      const bulk = bulks.get(id)
      if (bulk?.status !== 'collecting' || bulk.leaseOwner !== owner) return false
      bulkItems.set(
        id,
        new Map([...items(id), ...connectionIds.map((one) => [one, null] as const)]),
      )
      const total = items(id).size
      change(id, {
        ...{ total, cursor, trouble: null },
        ...(cursor === null ? { status: 'ready', ...NO_LEASE } : { leaseRemainingMs: forMs }),
      })
      return true
    },

    revokeBulkItems({ id, owner, forMs, now, limit }) {
      const bulk = bulks.get(id)
      if (bulk?.status !== 'running' || bulk.leaseOwner !== owner) return false
      const counts = { revoked: bulk.revoked, skipped: bulk.skipped }
      const rest = new Map(items(id))
      for (const connectionId of sortBy(items(id).keys(), (id) => id).slice(0, limit)) {
        rest.delete(connectionId)
        const connection = connections.get(connectionId)
        if (!connection || !isUnrevoked(connection)) {
          counts.skipped++
          continue
        }
        counts.revoked++
        const { actor, address } = bulk
        revoke(tables, connection, now)
        const details = `bulk revocation ${id}`
        const event = { at: now, action: 'connection.revoked', connectionId }
        writeEvents(tables, [{ ...event, actor, address, details }])
      }
      bulkItems.set(id, rest)
      const isDone = rest.size === 0
      change(id, {
        ...counts,
        trouble: null,
        ...(isDone ? { status: 'done', endedAt: now, ...NO_LEASE } : { leaseRemainingMs: forMs }),
      })
      return true
    },

    listBulkItems: ({ id, failed, limit }) =>
      [...items(id)]
        .filter(([, error]) => !failed || error !== null)
        .flatMap(([connectionId, error]) => {
          const connection = connections.get(connectionId)
          if (!connection) return []
          return [{ connectionId, error, ...pick(connection, 'username', 'status', 'accountId') }]
        })
        .slice(0, limit),
  }

  function isLive(id: string): boolean {
    const connection: Connection | undefined = connections.get(id)
    return connection !== undefined && isUnrevoked(connection)
  }
}

/** The end of the lease is not in the contract. */
const withoutEnd = ({ leaseRemainingMs: _, ...bulk }: Bulk): BulkRevocation => bulk

/** Is a lease free? One that ends too far ahead was taken by a wrong clock. */
export const hasEnded = (remainingMs: number | null, maxLeaseMs: number): boolean =>
  remainingMs === null || remainingMs <= 0 || remainingMs > maxLeaseMs
