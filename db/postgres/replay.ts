import { toPostgres, type PostgresStatement } from './statement.ts'

/** What a statement returned: its rows, as arrays in the order of `fields`. */
export interface Answer {
  rows: unknown[][]
  fields: string[]
  /** Rows that it changed or returned. */
  count: number
}

/** Executes one statement. */
export type Execute = (statement: PostgresStatement) => Promise<Answer>

/** Thrown out of the work where it needs an answer that is not there yet. Never reaches anyone outside of `replay`. */
class NeedsAnswer extends Error {
  readonly statement: PostgresStatement

  constructor(statement: PostgresStatement) {
    super('the answer of a statement was not awaited')
    this.statement = statement
  }
}

type Outcome = { answer: unknown } | { error: Error }

/** The work that runs now: its statements so far, and what they returned. */
interface Run {
  texts: string[]
  outcomes: Outcome[]
  isTransaction: boolean
  /** How many the current pass has used. */
  used: number
}

/** Work is synchronous, so at most one runs at a time. */
let current: Run | null = null

/**
 * Runs synchronous work on an asynchronous connection. The store's methods are written for SQLite, where a statement
 * returns its rows at once. Here the work stops at its first statement without an answer; the statement is executed,
 * and the work runs again from the beginning with the answers so far. So it must do the same each time: no random
 * values, no clock, and no effect but its statements. A method has a few statements, so this costs microseconds.
 */
export async function replay<T>(
  work: () => T,
  { execute, isTransaction }: { execute: Execute; isTransaction: boolean },
): Promise<T> {
  const run: Run = { texts: [], outcomes: [], used: 0, isTransaction }
  for (;;) {
    run.used = 0
    const needed = attempt(run, work)
    if ('result' in needed) return needed.result
    run.texts.push(needed.statement.text)
    run.outcomes.push(await outcomeOf(execute(needed.statement)))
  }
}

function attempt<T>(run: Run, work: () => T): { result: T } | { statement: PostgresStatement } {
  current = run
  try {
    return { result: work() }
  } catch (error) {
    const needed = findNeed(error)
    if (!needed) throw error
    return { statement: needed.statement }
  } finally {
    current = null
  }
}

/** Drizzle wraps some errors. */
function findNeed(error: unknown): NeedsAnswer | undefined {
  if (error instanceof NeedsAnswer) return error
  return error instanceof Error ? findNeed(error.cause) : undefined
}

const outcomeOf = (answer: Promise<Answer>): Promise<Outcome> =>
  answer.then(
    (answer) => ({ answer }),
    (error: unknown) => ({ error: error as Error }),
  )

/** The answer of the work's next statement. */
function answerOf(statement: PostgresStatement): Answer {
  if (!current) throw new Error('a statement outside of `read` and `write`')
  const index = current.used++
  const outcome = current.outcomes[index]
  if (!outcome) throw new NeedsAnswer(statement)
  if (current.texts[index] !== statement.text) throw new Error('the work did not repeat itself')
  if ('error' in outcome) throw outcome.error
  return outcome.answer as Answer
}

/** A value that is computed once and stays the same when the work runs again. */
export function once<T>(compute: () => T): T {
  if (!current) throw new Error('outside of `read` and `write`')
  const index = current.used++
  const outcome = (current.outcomes[index] ??= { answer: compute() })
  current.texts[index] ??= ''
  return (outcome as { answer: T }).answer
}

const execute = (text: string): void => void answerOf({ text, values: [], name: '' })

/** A prepared statement with the methods of better-sqlite3 that Drizzle and the store use. */
function prepare(sqlite: string) {
  const run = (args: unknown[]): Answer => answerOf(toPostgres(sqlite, args))
  const rowsOf = (shape: (row: unknown[], fields: string[]) => unknown) => ({
    all: (...args: unknown[]) => {
      const { rows, fields } = run(args)
      return rows.map((row) => shape(row, fields))
    },
    get: (...args: unknown[]) => {
      const { rows, fields } = run(args)
      return rows[0] && shape(rows[0], fields)
    },
  })
  return {
    ...rowsOf((row, fields) => Object.fromEntries(fields.map((name, n) => [name, row[n]]))),
    run: (...args: unknown[]) => ({ changes: run(args).count }),
    pluck: () => rowsOf((row) => row[0]),
    raw: () => rowsOf((row) => row),
  }
}

/** Work that can fail alone within a transaction; within a read, just the work. */
const savepoint =
  <A extends unknown[], T>(work: (...args: A) => T) =>
  (...args: A): T => {
    if (current?.isTransaction === false) return work(...args)
    execute('savepoint work')
    try {
      const result = work(...args)
      execute('release savepoint work')
      return result
    } catch (error) {
      if (!findNeed(error)) execute('rollback to savepoint work')
      throw error
    }
  }

/** Stands in for a connection of better-sqlite3, within `replay`. */
export const replayClient = { prepare, transaction: savepoint }
