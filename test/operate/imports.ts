import { runtime } from '../../server/runtime.ts'
import { command } from '../command.ts'
import type { TestBroker } from '../helper.ts'
import { skipPauses } from '../clock.ts'

/** A line of an import file. @param token default: a new refresh token of the account at the stand-in */
export const importLine = (broker: TestBroker, account: string, app: string, token?: string) =>
  JSON.stringify({ account, refresh_token: token ?? broker.standIn.grant(account), app })

export interface ImportedLine {
  status: string
  connection_id: string
  broker_token: string
  reason: string
}

/** Imports a file without pauses. Returns the result of each line. */
export async function runImport(broker: TestBroker, file: string) {
  const restore = skipPauses(runtime.clock)
  const args = ['connection', 'import', file, '--json']
  const { code, stdout, stderr } = await command(args, broker.env).finally(restore)
  const lines = stdout.split('\n').filter((text) => text !== '')
  return { code, stderr, results: lines.map((text) => JSON.parse(text) as ImportedLine) }
}
