import { isDeepStrictEqual } from 'node:util'
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
class NeedsAnswer extends Error {}
/** One for all: a trace of the stack would cost more than the rest of a pass. */
const needsAnswer = new NeedsAnswer()

type Outcome = { answer: unknown } | { error: Error }

/** The work that runs now: its statements so far, and what they returned. */
interface Run {
  /** `null`: a value of `once`. */
  statements: (PostgresStatement | null)[]
  outcomes: Outcome[]
  /** What the current pass stopped at; even if the work caught that, all that it did since counts for nothing. */
  needed: PostgresStatement | null
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
  if (current) throw new Error('work within other work')
  const run: Run = { statements: [], outcomes: [], needed: null, used: 0, isTransaction }
  for (;;) {
    const pass = attempt(run, work)
    if (!run.needed) return pass()
    run.statements.push(run.needed)
    run.outcomes.push(await outcomeOf(execute(run.needed)))
  }
}

/** Returns what gives the result of the work, or throws its error. */
function attempt<T>(run: Run, work: () => T): () => T {
  run.used = 0
  run.needed = null
  current = run
  try {
    const result = work()
    return () => result
  } catch (error) {
    return () => {
      throw error
    }
  } finally {
    current = null
  }
}

const outcomeOf = (answer: Promise<Answer>): Promise<Outcome> =>
  answer.then(
    (answer) => ({ answer }),
    (error: unknown) => ({ error: error as Error }),
  )

/** The next outcome of the work, or `undefined`: it is the first pass that comes to it. */
function nextOutcome(run: Run | null, statement: PostgresStatement | null): Outcome | undefined {
  if (!run) throw new Error('a statement outside of `read` and `write`')
  if (run.needed) throw needsAnswer
  const index = run.used++
  const outcome = run.outcomes[index]
  const before = run.statements[index]
  if (
    outcome &&
    (before?.text !== statement?.text || !isDeepStrictEqual(before?.values, statement?.values))
  )
    throw new Error('the work did not repeat itself')
  return outcome
}

/** The answer of the work's next statement. */
function answerOf(statement: PostgresStatement): Answer {
  const outcome = nextOutcome(current, statement)
  if (!outcome) {
    if (current) current.needed = statement
    throw needsAnswer
  }
  if ('error' in outcome) throw outcome.error
  return outcome.answer as Answer
}

/** A value that is computed once and stays the same when the work runs again. */
export function once<T>(compute: () => T): T {
  const known = nextOutcome(current, null)
  if (known) return (known as { answer: T }).answer
  const answer = compute()
  current?.statements.push(null)
  current?.outcomes.push({ answer })
  return answer
}

const execute = (text: string): void => void answerOf({ text, values: [], name: '' })

/** All rows of an answer as the work takes them: it takes the same ones in each pass. */
const shapedRows = new WeakMap<Answer, unknown[]>()

/** A prepared statement with the methods of better-sqlite3 that Drizzle and the store use. */
function prepare(sqlite: string) {
  const run = (args: unknown[]): Answer => answerOf(toPostgres(sqlite, args))
  const rowsOf = (shape: (row: unknown[], fields: string[]) => unknown) => ({
    all: (...args: unknown[]) => {
      const answer = run(args)
      const { rows, fields } = answer
      const known = shapedRows.get(answer) ?? rows.map((row) => shape(row, fields))
      shapedRows.set(answer, known)
      return [...known]
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
      execute('rollback to savepoint work')
      throw error
    }
  }

/** Stands in for a connection of better-sqlite3, within `replay`. */
export const replayClient = { prepare, transaction: savepoint }
