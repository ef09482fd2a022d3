import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { StoreUnavailableError } from '../errors.ts'
import { CONNECT_TIMEOUT_MS, STATEMENT_TIMEOUT_MS } from './connection.ts'
import type { NewClient } from './connection.ts'
import { classify, ConnectionError } from './failures.ts'
import type { Execute } from './replay.ts'
import type { PostgresStatement } from './statement.ts'

type Result = pg.QueryArrayResult<unknown[]>

/** How long work waits for a database that is restarted, or for another server to take over. */
const RETRY_MS = 10_000
/** The same when the database has been down for that long: requests make several calls, and more of them come. */
const RETRY_WHILE_DOWN_MS = 500
/** Longest pause between two attempts to reach the database. */
const MAX_PAUSE_MS = 250
/** A paused process loses its transaction, and with it its locks. */
const IDLE_TRANSACTION_MS = 5000
/** Writes wait for locks of others: with connections of their own, they keep no read waiting. */
const READ_CONNECTIONS = 4
const WRITE_CONNECTIONS = 6

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

/** Creates a pool of connections to the primary: a standby would answer reads with the state of a moment ago. */
export function createPool(Client: NewClient): Pool {
  const reads = openPool(Client, READ_CONNECTIONS)
  const writes = openPool(Client, WRITE_CONNECTIONS)

  /** What `close` waits for. */
  const unfinished = new Set<Promise<unknown>>()
  let isClosed = false

  const [retryRead, retryWrite] = [createRetry(), createRetry()]

  const run = async <T>(retry: Retry, work: (isAlone: boolean) => Promise<T>): Promise<T> => {
    if (isClosed) throw new Error('the store is closed')
    const result = retry(work)
    unfinished.add(result)
    try {
      return await result
    } finally {
      unfinished.delete(result)
    }
  }

  /**
   * Commits with an unknown outcome. Their changes can be seen although no standby has them: who finds them must not rely
   * on them before. A later transaction that writes waits for the standbys, which get changes in order; it settles
   * those that came before it.
   */
  let doubts = 0
  let settled = 0

  const use = async <T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> => {
    const client = await pool.connect().catch((error: unknown) => {
      throw new ConnectionError(error)
    })
    let isBroken = false
    try {
      return await work(client)
    } catch (error) {
      isBroken = classify(error).kind === 'broken'
      throw error
    } finally {
      // Not with a transaction that neither `commit` nor `rollback` has ended.
      client.release(isBroken || client.getTransactionStatus() !== 'I')
    }
  }

  return {
    read: (work) => run(retryRead, () => use(reads, (client) => work(executeOn(client)))),

    write: (work) =>
      run(retryWrite, (isAlone) =>
        use(writes, async (client) => {
          const execute = executeOn(client)
          const settles = doubts
          let result
          try {
            await execute(isAlone ? BEGIN_ALONE : BEGIN)
            if (settles > settled) await execute(WRITE)
            result = await work(execute)
          } catch (error) {
            // If it fails, the connection is dropped, and the transaction with it.
            if (classify(error).kind !== 'broken') await execute(ROLLBACK).catch(() => undefined)
            throw error
          }
          await commit(client).catch((error: unknown) => {
            if (error instanceof StoreUnavailableError) doubts++
            throw error
          })
          settled = Math.max(settled, settles)
          return result
        }),
      ),

    async close() {
      isClosed = true
      await Promise.allSettled(unfinished)
      await Promise.all([reads.end(), writes.end()])
    },
  }
}

function openPool(Client: NewClient, max: number): pg.Pool {
  const pool = new pg.Pool({
    Client,
    types,
    max,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_MS,
  })
  // A connection that breaks while it is idle: the pool replaces it.
  pool.on('error', () => undefined)
  return pool
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
/** Makes the commit of a transaction that changes nothing wait for the disk and the standbys. */
const WRITE = plain('select pg_current_xact_id()')
const ROLLBACK = plain('rollback')
const COMMIT = plain('commit')

/** @throws DatabaseError if the server answered with an error, otherwise ConnectionError */
async function send(client: pg.PoolClient, statement: PostgresStatement): Promise<Result> {
  const { timeoutMs: query_timeout = STATEMENT_TIMEOUT_MS, ...query } = statement
  const config = { ...query, rowMode: 'array', query_timeout } as pg.QueryArrayConfig
  // Several statements have several results.
  return [await client.query<unknown[]>(config)].flat().at(-1) as Result
}

const executeOn =
  (client: pg.PoolClient): Execute =>
  async (statement) => {
    const { rows, fields, rowCount } = await send(client, statement)
    return { rows, fields: fields.map(({ name }) => name), count: rowCount ?? 0 }
  }

/**
 * An unknown outcome is not tried again: the answer is lost, or the server warns that it did not wait for its
 * synchronous standbys, so the change is lost if they take over now.
 */
async function commit(client: pg.PoolClient): Promise<void> {
  let warning: unknown
  const note = (notice: unknown) => void (warning = notice)
  client.on('notice', note)
  try {
    const { command } = await send(client, COMMIT)
    // What PostgreSQL answers after a failed statement; the work must not have caught that.
    if (command !== 'COMMIT') throw new Error('a statement failed, and the work went on')
  } catch (error) {
    const { kind, code } = classify(error)
    throw kind === 'collided' || code === '' ? error : new StoreUnavailableError(code, error)
  } finally {
    client.off('notice', note)
  }
  if (warning !== undefined) throw new StoreUnavailableError('NOT_REPLICATED', warning)
}

/** Repeats work until it succeeds, or can't in time. @throws StoreUnavailableError, or the work's error */
type Retry = <T>(work: (isAlone: boolean) => Promise<T>) => Promise<T>

function createRetry(): Retry {
  /** Since when all connections have failed. */
  let downSince = Infinity
  return async (work) => {
    const startedAt = performance.now()
    let isAlone = false
    for (let attempt = 0; ; attempt++) {
      try {
        const result = await work(isAlone)
        downSince = Infinity
        return result
      } catch (error) {
        const { kind, code } = classify(error)
        // Alone, a constraint fails by the row itself.
        if (kind === 'final' || (isAlone && code.startsWith('23'))) throw error
        const now = performance.now()
        if (kind === 'broken') downSince = Math.min(downSince, now)
        const deadline = Math.max(
          Math.min(startedAt, downSince) + RETRY_MS,
          startedAt + RETRY_WHILE_DOWN_MS,
        )
        if (kind === 'unavailable' || now > deadline) throw new StoreUnavailableError(code, error)
        if (kind === 'collided' && !isAlone) {
          isAlone = true
          continue
        }
      }
      await setTimeout(Math.random() * Math.min(2 ** attempt, MAX_PAUSE_MS))
    }
  }
}
