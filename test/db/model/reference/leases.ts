import { hasEnded } from './bulk.ts'
import { isUnrevoked, sortBy } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods = 'takeLease' | 'updateLease' | 'listLeases'

/**
 * The leases of refreshes: one owner at a time for each connection. No time passes for leases here: they last longer
 * than a history, or have ended from the beginning.
 */
export const leaseRules = ({ connections }: Tables): Answering<Methods> => ({
  takeLease({ id, expectedGeneration, owner, forMs, maxLeaseMs, deadOwner }) {
    const connection = connections.get(id)
    if (connection?.generation !== expectedGeneration || !isUnrevoked(connection)) return false
    const { leaseOwner, leaseRemainingMs } = connection
    const isTakeover = leaseOwner !== null && leaseOwner !== owner
    if (isTakeover && !hasEnded(leaseRemainingMs, maxLeaseMs) && leaseOwner !== deadOwner)
      return false
    connections.set(id, {
      ...connection,
      leaseOwner: owner,
      leaseRemainingMs: forMs,
      ...(isTakeover && { staleReason: 'answer_lost' }),
    })
    return true
  },

  updateLease({ id, owner, forMs }) {
    const connection = connections.get(id)
    if (connection?.leaseOwner !== owner) return false
    const leaseOwner = forMs === null ? null : owner
    connections.set(id, { ...connection, leaseOwner, leaseRemainingMs: forMs })
    return true
  },

  listLeases: (limit) =>
    sortBy(connections.values(), ({ leaseRemainingMs }) => leaseRemainingMs)
      .flatMap(({ id, leaseOwner, leaseRemainingMs }) =>
        leaseOwner === null || leaseRemainingMs === null
          ? []
          : [{ id, leaseOwner, leaseRemainingMs }],
      )
      .slice(0, limit),
})
