import { swapStateQuery, toSwapState } from '../sql/grants.ts'
import type { Store, SwapState } from '../store.ts'
import type { Pool } from './pool.ts'
import { toPostgres } from './statement.ts'

/** Batches that wait for the database at a time; then requests gather for the next one. */
const CONCURRENT_BATCHES = 4

type Key = Parameters<Store['getSwapState']>[0]

interface Waiting {
  key: Key
  resolve: (state: SwapState | undefined) => void
  reject: (error: unknown) => void
}

/** `@kids` and `@grants` are arrays of JSON, in the same order. */
const QUERY = `
  select cast(wanted.key as bigint) as n, (${swapStateQuery('kids.value', 'wanted.value')}) as state
  from json_each(@grants) as wanted join json_each(@kids) as kids on kids.key = wanted.key`

/**
 * Reads what swaps decide on: one statement, one round trip for all requests of a turn of the event loop. It is sent
 * after they arrived, so each of them sees what was committed before it was sent.
 */
export function prepareSwapState(pool: Pool): Store['getSwapState'] {
  let waiting: Waiting[] = []
  let running = 0

  const runBatch = async (batch: Waiting[]): Promise<void> => {
    const kids = JSON.stringify(batch.map(({ key }) => key.kid))
    const grants = JSON.stringify(batch.map(({ key }) => key.grantId))
    try {
      const statement = toPostgres(QUERY, [{ grants, kids }])
      const { rows } = await pool.read((execute) => execute(statement))
      const states = new Map(rows.map(([n, state]) => [n as number, state as string | null]))
      for (const [n, { key, resolve }] of batch.entries()) {
        const state = states.get(n)
        resolve(state ? toSwapState(key.grantId, state.split('\n')) : undefined)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  const start = (): void => {
    if (waiting.length === 0 || running === CONCURRENT_BATCHES) return
    const batch = waiting
    waiting = []
    running++
    void runBatch(batch).finally(() => {
      running--
      start()
    })
  }

  return (key) =>
    new Promise((resolve, reject) => {
      if (waiting.push({ key, resolve, reject }) === 1) setImmediate(start)
    })
}
