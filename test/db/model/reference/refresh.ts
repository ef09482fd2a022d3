import { MAX_AUTOMATIC_RETRIES } from '../../../../db/model.ts'
import type { Connection } from '../../../../db/store.ts'
import { NO_FAILURES, NO_LEASE } from './connections.ts'
import { isUnrevoked, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods = 'listFailed' | 'saveTokens' | 'saveFailure'

export const refreshRules = (tables: Tables): Answering<Methods> => {
  const { connections } = tables
  const find = (id: string, generation: number): Connection | undefined => {
    const connection = connections.get(id)
    return connection?.generation === generation && isUnrevoked(connection) ? connection : undefined
  }

  return {
    listFailed({ retryBefore, limit }) {
      const failed = [...connections.values()].filter(
        ({ failures, retryAt, revokedAt }) =>
          failures > 0 &&
          failures < MAX_AUTOMATIC_RETRIES &&
          retryAt !== null &&
          retryAt <= retryBefore &&
          revokedAt === null,
      )
      return sortBy(failed, ({ retryAt }) => retryAt)
        .slice(0, limit)
        .map(({ id }) => id)
    },

    saveTokens({ id, expectedGeneration, tokens, previousRefreshToken, failure, now, events }) {
      const connection = find(id, expectedGeneration)
      if (!connection) return false
      connections.set(id, {
        ...connection,
        status: 'active',
        generation: connection.generation + 1,
        ...tokens,
        previousRefreshToken,
        ...NO_LEASE,
        ...(failure
          ? { ...failure, failures: connection.failures + 1, rejections: 0 }
          : NO_FAILURES),
        staleReason: null,
        restoredFrom: null,
        importState: null,
        refreshedAt: now,
      })
      writeEvents(tables, events)
      return true
    },

    saveFailure(failure) {
      const { id, owner, status, lastError, retryAt, staleReason } = failure
      const connection = find(id, failure.expectedGeneration)
      if (!connection || (connection.leaseOwner ?? owner) !== owner) return false
      connections.set(id, {
        ...connection,
        ...{ status, lastError, retryAt },
        failures: connection.failures + 1,
        rejections: connection.rejections + (failure.isRejection ? 1 : 0),
        staleReason: staleReason ?? connection.staleReason,
        ...(failure.dropPrevious && { previousRefreshToken: null }),
        ...NO_LEASE,
      })
      writeEvents(tables, failure.events)
      return true
    },
  }
}
