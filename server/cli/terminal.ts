/**
 * What commands print and ask. Results go to standard output: JSON with snake_case keys for programs, lines
 * and tables for people. Questions and progress go to standard error.
 */
import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import { Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { ENCODING_FIX, decodeText } from '../text-encoding.ts'
import { replaceInvisible } from '../visible-text.ts'

/** Wrong usage: exit code 2. The message says what to do. */
export class UsageError extends Error {
  override name = 'UsageError'
}

export const print = (text: string): void => void process.stdout.write(`${text}\n`)

/** Progress and notices for the operator, not part of the output. */
export const printNotice = (text: string): void => void process.stderr.write(`${text}\n`)

export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2))

/** Prints a table with a heading; columns are as wide as their content. */
export function printTable<Name extends string>(
  rows: Record<Name, string>[],
  whenEmpty: string,
): void {
  const [first] = rows
  if (!first) return print(whenEmpty)
  const columns = (Object.keys(first) as Name[]).map((name) => {
    const title = name.toUpperCase().replaceAll('_', ' ')
    const width = rows.reduce((most, row) => Math.max(most, row[name].length), title.length)
    return { name, title, width }
  })
  const line = (cell: (column: (typeof columns)[number]) => string) =>
    columns
      .map((column) => cell(column).padEnd(column.width))
      .join('  ')
      .trimEnd()
  print(line(({ title }) => title))
  for (const row of rows) print(line(({ name }) => printable(row[name])))
}

/** Text from people must not control the terminal, nor hide anything in it. */
export const printable = (text: string): string => replaceInvisible(text, '\u{fffd}')

/** A time in milliseconds as ISO 8601; `null` stays `null`. */
export function formatTime(milliseconds: number): string
export function formatTime(milliseconds: number | null): string | null
export function formatTime(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString()
}

/** A time in ISO 8601 with its zone, or a day in UTC; in milliseconds. @throws UsageError */
export function parseTime(option: string, text: string): number {
  const isTime = /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:?\d\d))?$/.test(text)
  const time = isTime ? Date.parse(text) : NaN
  if (!Number.isNaN(time)) return time
  throw new UsageError(`${option} takes a time such as 2026-01-31T08:00Z, or a day.`)
}

/** The text on standard input, until its end. @throws UsageError if it is not UTF-8 */
export async function readInput(): Promise<string> {
  const bytes = await buffer(process.stdin)
  try {
    return decodeText(bytes)
  } catch (error) {
    const { message } = error as Error
    throw new UsageError(`Standard input ${message} ${ENCODING_FIX}`)
  }
}

/** A port from 1 to `max`. @throws UsageError */
export function parsePort(text: string, max = 65_535): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > max) throw new UsageError(`--port takes a number from 1 to ${max}.`)
  return port
}

/** Asks a question. An empty answer means `defaultAnswer`. @throws UsageError when the input ends (Ctrl-D, Ctrl-C) */
export async function ask(question: string, defaultAnswer = ''): Promise<string> {
  const line = createInterface({ input: process.stdin, output: process.stderr })
  const hint = defaultAnswer === '' ? '' : ` [${defaultAnswer}]`
  const answer = await readAnswer(line, `${question}${hint}: `)
  return answer.trim() || defaultAnswer
}

/** Asks without echoing the answer. @throws UsageError as `ask` does */
export async function askHidden(question: string): Promise<string> {
  const discard = new Writable({ write: (_chunk, _encoding, done) => done() })
  const line = createInterface({ input: process.stdin, output: discard, terminal: true })
  // Echo is off before the question appears, so that an immediate answer is hidden too.
  process.stderr.write(question)
  return readAnswer(line, '').finally(() => process.stderr.write('\n'))
}

function readAnswer(line: Interface, question: string): Promise<string> {
  return new Promise((resolve, reject) => {
    line.on('close', () => reject(new UsageError('\nCancelled: no answer was given.')))
    line.question(question, (answer) => {
      resolve(answer)
      line.close()
    })
  })
}
