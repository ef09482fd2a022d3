import { isUnrevoked, sortBy } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods = 'takeLease' | 'updateLease' | 'listLeases'

/** The leases of refreshes: one owner at a time for each connection. */
export const leaseRules = ({ connections }: Tables): Answering<Methods> => ({
  takeLease({ id, expectedGeneration, owner, now, until, maxLeaseMs, deadOwner }) {
    const connection = connections.get(id)
    if (connection?.generation !== expectedGeneration || !isUnrevoked(connection)) return false
    const { leaseOwner, leaseUntil } = connection
    const isTakeover = leaseOwner !== null && leaseOwner !== owner
    const hasEnded = leaseUntil === null || leaseUntil <= now || leaseUntil > now + maxLeaseMs
    if (isTakeover && !hasEnded && leaseOwner !== deadOwner) return false
    connections.set(id, {
      ...connection,
      leaseOwner: owner,
      leaseUntil: until,
      ...(isTakeover && { staleReason: 'answer_lost' }),
    })
    return true
  },

  updateLease({ id, owner, until }) {
    const connection = connections.get(id)
    if (connection?.leaseOwner !== owner) return false
    const leaseOwner = until === null ? null : owner
    connections.set(id, { ...connection, leaseOwner, leaseUntil: until })
    return true
  },

  listLeases: (limit) =>
    sortBy(connections.values(), ({ leaseUntil }) => leaseUntil)
      .flatMap(({ id, leaseOwner, leaseUntil }) =>
        leaseOwner === null || leaseUntil === null ? [] : [{ id, leaseOwner, leaseUntil }],
      )
      .slice(0, limit),
})
