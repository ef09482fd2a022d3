import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { Command } from 'commander'
import type { Holding, Imported } from '../connections/import.ts'
import { CommandError, errorMessage, formatMessage } from '../operate/messages.ts'
import { Secret } from '../secret.ts'
import { withServices } from './with-services.ts'
import { note, print } from './output.ts'

type Line = Imported | { status: 'invalid'; reason: string }

/** Characters of a line, and of a refresh token; Ellipsis Drive has room for 256. */
const LONGEST_LINE = 65_536
const LONGEST_TOKEN = 4096

/** `connection import`: refresh tokens of the same client that the host already holds. */
export function importCommand(): Command {
  return new Command('import')
    .description('take over refresh tokens of the same OAuth client, proven one by one')
    .argument('<file>', 'JSON lines: account, refresh_token, app')
    .option(
      '--json',
      'a line of JSON for each, with the broker token that the app uses from now on',
    )
    .action((file: string, { json = false }: { json?: boolean }) => importFile(file, json))
}

async function importFile(file: string, json: boolean): Promise<void> {
  await using input = await open(file).catch(unreadable(file))
  const counts = { imported: 0, already: 0, failed: 0 }
  await withServices(
    async ({ importer }) => {
      let number = 0
      for await (const text of linesOf(input)) {
        number++
        if (text?.trim() === '') continue
        const holding = parseLine(text)
        const line = 'status' in holding ? holding : await importer.take(holding)
        counts[line.status === 'imported' || line.status === 'already' ? line.status : 'failed']++
        report(number, line, json)
      }
    },
    { upstream: true },
  ).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EISDIR') return unreadable(file)(error)
    if (code === 'server_error') throw new CommandError('import.client-rejected', counts)
    throw error
  })
  if (counts.failed > 0) throw new CommandError('import.incomplete', counts)
  note(formatMessage('import.done', counts))
}

const unreadable =
  (file: string) =>
  (error: unknown): never => {
    throw new CommandError('import.unreadable', { file, reason: errorMessage(error) })
  }

/** The lines of a file, however long they are: `null` for one that is too long, which is never held whole. */
async function* linesOf(input: FileHandle): AsyncGenerator<string | null, void> {
  let line: string | null = ''
  let isFirst = true
  for await (const chunk of input.createReadStream({ encoding: 'utf8' })) {
    // Some editors put a byte order mark before all else.
    const text = isFirst ? (chunk as string).replace(/^\uFEFF/, '') : (chunk as string)
    isFirst = false
    for (const [index, part] of text.split('\n').entries()) {
      if (index > 0) {
        yield line
        line = ''
      }
      line = line === null || line.length + part.length > LONGEST_LINE ? null : line + part
    }
  }
  yield line
}

/** What a line holds. Nothing of a token is ever told back. */
function parseLine(text: string | null): Holding | { status: 'invalid'; reason: string } {
  if (text === null) return { status: 'invalid', reason: 'the line is too long' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { status: 'invalid', reason: 'the line is no JSON' }
  }
  const { account, refresh_token: token, app } = (value ?? {}) as Record<string, unknown>
  for (const [name, field] of Object.entries({ account, refresh_token: token, app })) {
    if (typeof field !== 'string' || field === '') {
      return { status: 'invalid', reason: `${name} is missing, or is no text` }
    }
  }
  const [id, secret, appId] = [account, token, app] as [string, string, string]
  if (secret.length > LONGEST_TOKEN) {
    return { status: 'invalid', reason: 'refresh_token is longer than any of Ellipsis Drive’s' }
  }
  return { account: id, refreshToken: new Secret(secret), appId }
}

function report(number: number, line: Line, json: boolean): void {
  const { status } = line
  const [connection, brokerToken, reason] =
    'reason' in line
      ? [null, null, line.reason]
      : [line.connectionId, line.brokerToken?.reveal() ?? null, null]
  if (!json) return print(`line ${number}  ${status}  ${connection ?? reason}`)
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
