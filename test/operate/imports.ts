import { runtime } from '../../server/runtime.ts'
import { command } from '../command.ts'
import type { TestBroker } from '../helper.ts'
import { skipPauses } from '../clock.ts'

/** A line of the file: a refresh token of that account at the stand-in, or the one given. */
export const line = (broker: TestBroker, account: string, app: string, token?: string) =>
  JSON.stringify({ account, refresh_token: token ?? broker.standIn.grant(account), app })

export interface Told {
  status: string
  connection_id: string
  broker_token: string
  reason: string
}

/** Imports the file, without its pauses; answers what was told of each line. */
export async function run(broker: TestBroker, file: string) {
  const restore = skipPauses(runtime.clock)
  const args = ['connection', 'import', file, '--json']
  const { code, stdout, stderr } = await command(args, broker.env).finally(restore)
  const lines = stdout.split('\n').filter((text) => text !== '')
  return { code, stderr, told: lines.map((text) => JSON.parse(text) as Told) }
}
