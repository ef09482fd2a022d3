import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import pretty from 'pino-pretty'
import type { Config } from './config/config.ts'

/** Where the domain says what happened. Details never hold a secret in plain text. */
export interface Log {
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

export type { Logger } from 'pino'

/**
 * The program's log: JSON lines, or readable ones on a terminal. Secrets travel wrapped and print as
 * `[redacted]`; what looks like one in an error's words is taken out here, as a second line of defence.
 */
export function createLog(
  config: Pick<Config, 'logLevel'>,
  output: DestinationStream & { isTTY?: boolean } = process.stdout,
): Logger {
  const options = { level: config.logLevel, base: null, serializers: { err: describeError } }
  if (!output.isTTY) return pino(options, output)
  const stream = pretty({ destination: output, ignore: 'pid,hostname', translateTime: 'HH:MM:ss' })
  return pino(options, stream)
}

/** Runs of characters that a token, code, state or JWT may be. Words and paths have shorter ones. */
const TOKEN_LIKE =
  /eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|[A-Za-z0-9_-]{32,}(?:\.[A-Za-z0-9_-]+)*|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi

const redact = (text: string): string => text.replace(TOKEN_LIKE, '[redacted]')

/** An error and its causes, in words: name, message, code, and where it arose. */
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
    ...(depth === 0 && { at: frames.slice(0, 6).map((line) => line.trim()) }),
    ...(cause !== undefined && depth < 4 && { cause: describeError(cause, depth + 1) }),
  }
}
