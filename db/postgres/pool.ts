import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { StoreUnavailableError } from '../errors.ts'
import type { Execute } from './replay.ts'

/** How long work waits for a database that is restarted, or for another server to take over. */
const RETRY_MS = 10_000
/** Longest pause between two attempts to reach the database. */
const MAX_PAUSE_MS = 250
/** A statement that takes longer meets a network that lost its answer. */
const STATEMENT_TIMEOUT_MS = 5000
const CONNECT_TIMEOUT_MS = 3000
/** A paused process loses its transaction, and with it its locks. */
const IDLE_TRANSACTION_MS = 5000
const POOL_SIZE = 10

/** Numbers and booleans as SQLite returns them. */
const parsers: Partial<Record<number, (value: string) => unknown>> = {
  [pg.types.builtins.INT2]: Number,
  [pg.types.builtins.INT4]: Number,
  [pg.types.builtins.INT8]: Number,
  [pg.types.builtins.NUMERIC]: Number,
  [pg.types.builtins.FLOAT8]: Number,
  [pg.types.builtins.JSON]: String,
  [pg.types.builtins.BOOL]: (value) => (value === 't' ? 1 : 0),
}
export const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    (format !== 'binary' && parsers[oid]) || (pg.types.getTypeParser(oid, format) as never),
}

/** Connections to PostgreSQL. */
export interface Pool {
  /** Runs statements, each as a transaction of its own; again if the connection broke. @throws StoreUnavailableError */
  read: <T>(work: (execute: Execute) => Promise<T>) => Promise<T>
  /**
   * Runs statements as one SERIALIZABLE transaction; again if it collided with another one or the connection broke
   * before the commit was sent.
   * @throws StoreUnavailableError; after a broken commit the change may have taken place
   */
  write: <T>(work: (execute: Execute) => Promise<T>) => Promise<T>
  /** Waits for work in progress, and ends all connections. */
  close: () => Promise<void>
}

/** Codes of errors after which the connection is not used again: it broke, or its server is no longer the primary. */
const BROKEN = /^(08|57P|25006$|25P03$|E|53300$|XX000$|CLIENT_)/
/** Serialization failure, deadlock, or a lock that was not available: the transaction took no effect. */
const COLLIDED = /^(40001|40P01|55P03)$/
/** Unique violation: by a race with another transaction, which the next attempt sees; or by the row itself. */
const TAKEN = '23505'

/** @param connection where the database is: see server/config */
export function createPool(connection: pg.PoolConfig): Pool {
  const pool = new pg.Pool({
    ...connection,
    types,
    max: POOL_SIZE,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_MS,
    keepAlive: true,
    application_name: 'ellipsis-broker',
  })
  // A connection that breaks while it is idle: the pool replaces it.
  pool.on('error', () => undefined)

  /** What `close` waits for. */
  const unfinished = new Set<Promise<unknown>>()
  let isClosed = false

  const run = async <T>(work: (hasCollided: boolean) => Promise<T>): Promise<T> => {
    if (isClosed) throw new Error('the store is closed')
    const result = retry(work)
    unfinished.add(result)
    try {
      return await result
    } finally {
      unfinished.delete(result)
    }
  }

  const use = async <T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> => {
    const client = await pool.connect()
    let broken = true
    try {
      const result = await work(client)
      broken = false
      return result
    } catch (error) {
      broken = BROKEN.test(codeOf(error))
      throw error
    } finally {
      client.release(broken)
    }
  }

  const executeOn =
    (client: pg.PoolClient): Execute =>
    async (statement) => {
      const query = { ...statement, rowMode: 'array', query_timeout: STATEMENT_TIMEOUT_MS }
      const results = await client.query<unknown[]>(query as pg.QueryArrayConfig)
      const result = [results].flat().at(-1)
      if (!result) return { rows: [], fields: [], count: 0 }
      const { rows, fields, rowCount } = result
      return { rows, fields: fields.map(({ name }) => name), count: rowCount ?? 0 }
    }

  return {
    read: (work) => run(() => use((client) => work(executeOn(client)))),

    write: (work) =>
      run((hasCollided) =>
        use(async (client) => {
          const execute = executeOn(client)
          await execute(hasCollided ? BEGIN_ALONE : BEGIN)
          let result
          try {
            result = await work(execute)
          } catch (error) {
            if (!BROKEN.test(codeOf(error))) await execute(ROLLBACK)
            throw error
          }
          await commit(execute)
          return result
        }),
      ),

    async close() {
      isClosed = true
      await Promise.allSettled(unfinished)
      await pool.end()
    },
  }
}

const plain = (text: string) => ({ text, values: [], name: '' })
/**
 * Work that collided runs alone the next time: it would collide again and again while others write, above all in small
 * tables. `lock table` comes first because it takes no snapshot: the transaction sees what it has waited for.
 */
const begin = (mode: string) =>
  plain(`begin isolation level serializable; lock table writers in ${mode} mode`)
const BEGIN = begin('row share')
const BEGIN_ALONE = begin('exclusive')
const ROLLBACK = plain('rollback')
const COMMIT = plain('commit')

/** An unknown outcome must not be tried again. */
async function commit(execute: Execute): Promise<void> {
  try {
    await execute(COMMIT)
  } catch (error) {
    const code = codeOf(error)
    throw COLLIDED.test(code) ? error : new StoreUnavailableError(code, error)
  }
}

async function retry<T>(work: (hasCollided: boolean) => Promise<T>): Promise<T> {
  const deadline = performance.now() + RETRY_MS
  let hasCollided = false
  for (let attempt = 0; ; attempt++) {
    try {
      return await work(hasCollided)
    } catch (error) {
      const code = codeOf(error)
      // Alone, a violation is not of a race.
      const collided: boolean = COLLIDED.test(code) || (code === TAKEN && !hasCollided)
      if (!collided && !BROKEN.test(code)) throw error
      if (performance.now() > deadline) throw new StoreUnavailableError(code, error)
      hasCollided ||= collided
    }
    if (!hasCollided) await setTimeout(Math.random() * Math.min(2 ** attempt, MAX_PAUSE_MS))
  }
}

/** The SQLSTATE, or the code of Node's error, or a name for errors of the client without one. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0])
  const { code } = error as { code?: unknown }
  if (typeof code === 'string') return code
  if (error.cause !== undefined) return codeOf(error.cause)
  return CLIENT_ERRORS.test(error.message) ? 'CLIENT_BROKEN' : ''
}

/** Errors of pg that have no code. */
const CLIENT_ERRORS = /timeout|terminated|not queryable|Connection ended/i
