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
export function printTable(rows: Record<string, string>[], whenEmpty: string): void {
  const [first] = rows
  if (!first) return print(whenEmpty)
  const names = Object.keys(first)
  const widths = names.map((name) =>
    Math.max(...rows.map((row) => row[name]?.length ?? 0), name.length),
  )
  const line = (cells: string[]) =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd()
  print(line(names.map((name) => name.toUpperCase().replaceAll('_', ' '))))
  for (const row of rows) print(line(names.map((name) => visible(row[name] ?? ''))))
}

/** Names come from elsewhere: nothing in them may steer a terminal. */
const visible = (text: string): string => text.replace(/\p{Cc}|\p{Bidi_Control}/gu, '\u{fffd}')

/** A time as machines and people both read it; `null`: never. */
export const time = (milliseconds: number | null): string | null =>
  milliseconds === null ? null : new Date(milliseconds).toISOString()

/** A port of 1 to `highest`. @throws UsageError */
export function parsePort(text: string, highest = 65_535): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > highest)
    throw new UsageError(`--port takes a number from 1 to ${highest}.`)
  return port
}
