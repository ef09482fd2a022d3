import { sqlMethods } from '../sql/store.ts'
import type { Store } from '../store.ts'
import { createEngine } from './engine.ts'
import type { Pool } from './pool.ts'
import { purgeMethods } from './purge.ts'
import { createSealedValues } from './sealed.ts'
import { prepareSwapState } from './swap-state.ts'

/** Connections that one transaction of a bulk revocation revokes: the work is replayed for each of its statements. */
const REVOKED_TOGETHER = 10

/** The Store contract on PostgreSQL: the methods that the engines share, and where they differ. */
export function createPostgresStore(pool: Pool): Store {
  const engine = createEngine(pool)
  const shared = sqlMethods(engine, createSealedValues(engine))
  return {
    ...shared,
    ...purgeMethods(engine, pool),
    getSwapState: prepareSwapState(pool),
    revokeBulkItems: ({ limit, ...batch }) =>
      shared.revokeBulkItems({ ...batch, limit: Math.min(limit, REVOKED_TOGETHER) }),
  }
}
