import { execFile } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const CLIENT = join(import.meta.dirname, 'client.ts')

interface Result {
  /** How often each status came; 0: no answer. */
  statuses: Record<string, number>
  /** Of the exchanges. */
  p99Ms?: number
}

/**
 * Floods a broker from another process, as fast as it answers.
 * @param value the client id; for `exchanges` the broker token
 */
export async function flood(
  kind: 'flows' | 'device codes' | 'callbacks' | 'sign-ins' | 'exchanges',
  url: string,
  value: string,
  seconds: number,
): Promise<Result> {
  const { stdout } = await run(process.execPath, [CLIENT, kind, url, value, String(seconds)])
  return JSON.parse(stdout) as Result
}

/** Bytes of the store with its log. */
export const sizeOf = (dataDir: string): number =>
  readdirSync(dataDir)
    .filter((name) => name.startsWith('broker.db'))
    .reduce((sum, name) => sum + statSync(join(dataDir, name)).size, 0)
