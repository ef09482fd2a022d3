/** What a command prints: JSON with snake_case keys for programs, lines and tables for people. */

/** Wrong usage: exit code 2, and the message says what is right. */
export class UsageError extends Error {
  override name = 'UsageError'
}

export const print = (text: string): void => void process.stdout.write(`${text}\n`)

/** What is said on the way, to whoever watches; not part of the output. */
export const note = (text: string): void => void process.stderr.write(`${text}\n`)

export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2))

/** A table with a heading, its columns as wide as they need be. */
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
  for (const row of rows) print(line(({ name }) => visible(row[name])))
}

/** Names come from elsewhere: nothing in them may steer a terminal. */
const visible = (text: string): string => text.replace(/\p{Cc}|\p{Bidi_Control}/gu, '\u{fffd}')

/** A time as machines and people both read it; `null`: never. */
export function time(milliseconds: number): string
export function time(milliseconds: number | null): string | null
export function time(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString()
}

/** A port of 1 to `highest`. @throws UsageError */
export function parsePort(text: string, highest = 65_535): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > highest)
    throw new UsageError(`--port takes a number from 1 to ${highest}.`)
  return port
}
