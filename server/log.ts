import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import pretty from 'pino-pretty'
import { StoreUnavailableError } from '../db/errors.ts'
import type { Config } from './config/config.ts'
import type { SteadyClock } from './runtime.ts'

/** The log of the domain. Details never contain a secret in plain text. */
export interface Log {
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

export type { Logger } from 'pino'

/**
 * The program's log: JSON lines, or readable lines on a terminal. A `Secret` prints as `[redacted]`; as a second
 * line of defence, text that looks like a token is removed from error messages here.
 * @param base added to each line
 */
export function createLog(
  config: Pick<Config, 'logLevel'>,
  output: DestinationStream & { isTTY?: boolean } = process.stdout,
  base: { pid: number } | null = null,
): Logger {
  const options = { level: config.logLevel, base, serializers: { err: describeError } }
  if (!output.isTTY) return pino(options, output)
  const stream = pretty({ destination: output, translateTime: 'HH:MM:ss' })
  return pino(options, stream)
}

/** Text that may be a token, code, state or JWT. Words and paths are shorter. */
const TOKEN_LIKE =
  /eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|[A-Za-z0-9_-]{32,}(?:\.[A-Za-z0-9_-]+)*|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi

const MAX_CAUSES = 4
const MAX_STACK_FRAMES = 6

/** Replaces what may be a token. */
export const redact = (text: string): string => text.replace(TOKEN_LIKE, '[redacted]')

/** Serializes an error and its causes: name, message, code and stack frames. */
export function describeError(error: unknown, depth = 0): object | string {
  if (!(error instanceof Error)) return redact(String(error))
  const { name, message, stack, cause } = error
  const code: unknown = 'code' in error ? error.code : undefined
  const frames = String(stack)
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
  return {
    type: name,
    message: redact(message),
    ...(typeof code === 'string' && { code: redact(code) }),
    ...(depth === 0 && { at: frames.slice(0, MAX_STACK_FRAMES).map((line) => line.trim()) }),
    ...(cause !== undefined && depth < MAX_CAUSES && { cause: describeError(cause, depth + 1) }),
  }
}

/** In this time, loops log a failure of the store once. */
const OUTAGE_LINE_INTERVAL_MS = 60_000

/** A log for loops: while the store can't be used, they would write equal lines all the time. */
export function limitOutageLines(log: Log, clock: SteadyClock): Log {
  const writtenAt = new Map<string, number>()
  const isRepeated = (err: unknown, message: string): boolean => {
    if (!(err instanceof StoreUnavailableError)) return false
    const key = `${err.code} ${message}`
    const now = clock.steady()
    if (now - (writtenAt.get(key) ?? -Infinity) < OUTAGE_LINE_INTERVAL_MS) return true
    writtenAt.set(key, now)
    return false
  }
  const limit =
    (level: 'warn' | 'error'): Log['error'] =>
    (details, message) => {
      if (!('err' in details && isRepeated(details.err, message))) log[level](details, message)
    }
  return { info: (...line) => log.info(...line), warn: limit('warn'), error: limit('error') }
}
