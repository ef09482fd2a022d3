import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { Command } from 'commander'
import type { ImportEntry, ImportResult } from '../connections/import.ts'
import { CommandError, errorMessage, formatMessage } from '../operate/messages.ts'
import { Secret } from '../secret.ts'
import { isUtf16 } from '../text-encoding.ts'
import { hasOutputFailed } from './output.ts'
import { withServices } from './with-services.ts'
import { print, printNotice } from './terminal.ts'

type Result = ImportResult | { status: 'invalid'; reason: string }

/** What became of the lines so far. */
interface Progress {
  imported: number
  already: number
  duplicates: number
  /** Number of lines by outcome. */
  failures: Map<Result['status'], number>
  /** The first line of each connection. */
  lines: Map<string, number>
}

const MAX_LINE_LENGTH_CHARS = 65_536
/** Ellipsis Drive stores refresh tokens of up to 256 characters. */
const MAX_TOKEN_LENGTH_CHARS = 4096

/** `connection import`: refresh tokens of the same OAuth client that the host already has. */
export function importCommand(): Command {
  return new Command('import')
    .description('import refresh tokens of the same OAuth client; each one is tested')
    .argument('<file>', 'JSON lines: account, refresh_token, app')
    .option('--json', 'print one line of JSON per token, with the new broker token for the app')
    .action((file: string, { json = false }: { json?: boolean }) => importFile(file, json))
}

async function importFile(file: string, json: boolean): Promise<void> {
  await using input = await open(file).catch(failUnreadable(file))
  const progress: Progress = {
    ...{ imported: 0, already: 0, duplicates: 0 },
    failures: new Map(),
    lines: new Map(),
  }
  await withServices(
    async ({ importer }) => {
      let number = 0
      for await (const text of readLines(input, file)) {
        number++
        if (text?.trim() === '') continue
        const parsed = parseLine(text)
        const result = 'status' in parsed ? parsed : await importer.importEntry(parsed)
        printResult(number, result, record(progress, number, result), json)
        // Emitted in the next turn. Without its reader, a new broker token would be lost.
        await new Promise(setImmediate)
        if (json && hasOutputFailed()) throw new CommandError('import.output-lost', { number })
      }
    },
    { upstream: true },
  ).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EISDIR') return failUnreadable(file)(error)
    if (code === 'server_error') {
      throw new CommandError('import.client-rejected', summaryOf(progress))
    }
    throw error
  })
  const summary = summaryOf(progress)
  if (summary.failed > 0) throw new CommandError('import.incomplete', summary)
  printNotice(formatMessage('import.done', summary))
}

/** Counts the result of a line. Returns the explanation that its report gets; `null`: none. */
function record(progress: Progress, line: number, result: Result): string | null {
  const { status } = result
  if ('reason' in result) {
    progress.failures.set(status, (progress.failures.get(status) ?? 0) + 1)
    return result.reason
  }
  const first = progress.lines.get(result.connectionId)
  if (first === undefined) progress.lines.set(result.connectionId, line)
  if (result.status === 'imported') {
    progress.imported++
    return null
  }
  if (first === undefined) {
    progress.already++
    return 'this account was already connected'
  }
  progress.duplicates++
  return `duplicate: the same account as line ${first}`
}

function summaryOf({ failures, imported, already, duplicates }: Progress) {
  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0)
  const reasons = [...failures].map(([status, count]) => `${status} ${count}`).join(', ')
  return { imported, already, duplicates, failed, reasons }
}

const failUnreadable =
  (file: string) =>
  (error: unknown): never => {
    throw new CommandError('import.unreadable', { file, reason: errorMessage(error) })
  }

/**
 * Yields the lines of a file; `null` for a line that is too long, which is never held in memory.
 * @throws CommandError if the file is in UTF-16
 */
async function* readLines(input: FileHandle, file: string): AsyncGenerator<string | null, void> {
  let line: string | null = ''
  let isFirst = true
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  for await (const chunk of input.createReadStream() as AsyncIterable<Buffer>) {
    if (isFirst && isUtf16(chunk.subarray(0, UTF_16_PREFIX_BYTES))) {
      const reason = 'it is in UTF-16, not in UTF-8'
      throw new CommandError('import.unreadable', { file, reason })
    }
    isFirst = false
    for (const [index, part] of decoder.decode(chunk, { stream: true }).split('\n').entries()) {
      if (index > 0) {
        yield line
        line = ''
      }
      line = line === null || line.length + part.length > MAX_LINE_LENGTH_CHARS ? null : line + part
    }
  }
  yield line === null ? null : line + decoder.decode()
}

/** Enough to recognise UTF-16. Zero bytes further on are an invalid line, not another encoding. */
const UTF_16_PREFIX_BYTES = 4

/** Parses a line. Error reasons contain nothing of a token. */
function parseLine(text: string | null): ImportEntry | { status: 'invalid'; reason: string } {
  if (text === null) return { status: 'invalid', reason: 'the line is too long' }
  if (text.includes('\uFFFD')) return { status: 'invalid', reason: 'the line is not in UTF-8' }
  let value: unknown
  try {
    // Some editors begin a file with a byte-order mark; joined files have it within.
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    return { status: 'invalid', reason: 'the line is not valid JSON' }
  }
  const { account, refresh_token: token, app } = (value ?? {}) as Record<string, unknown>
  for (const [name, field] of Object.entries({ account, refresh_token: token, app })) {
    if (typeof field !== 'string' || field === '') {
      return { status: 'invalid', reason: `${name} is missing or not a string` }
    }
  }
  const [id, secret, appId] = [account, token, app] as [string, string, string]
  if (secret.length > MAX_TOKEN_LENGTH_CHARS) {
    return {
      status: 'invalid',
      reason: `refresh_token is longer than ${MAX_TOKEN_LENGTH_CHARS} characters`,
    }
  }
  return { account: id, refreshToken: new Secret(secret), appId }
}

function printResult(number: number, result: Result, reason: string | null, json: boolean): void {
  const { status } = result
  const [connection, brokerToken] =
    'reason' in result ? [null, null] : [result.connectionId, result.brokerToken?.reveal() ?? null]
  if (!json) {
    return print([`line ${number}`, status, connection ?? [], reason ?? []].flat().join('  '))
  }
  print(
    JSON.stringify({
      line: number,
      status,
      connection_id: connection,
      broker_token: brokerToken,
      reason,
    }),
  )
}
