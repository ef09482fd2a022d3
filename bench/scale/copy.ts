/** Moves a filled store to PostgreSQL with `store copy`, as people do, and checks what swaps get there. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { createBrokerTokens } from '../../server/oauth/broker-token.ts'
import type { Services } from '../../server/services.ts'
import { exchange } from '../../test/helper.ts'
import type { TestBroker } from '../../test/helper.ts'
import { query } from '../../test/postgres.ts'
import { runCli } from '../../test/processes.ts'
import { sampleAccessToken } from './fill.ts'

/** Where a copy is killed: at a line of its progress with this share of all rows. */
interface Point {
  line: string
  share: number
}

/** Each run continues after the rows of the former one, and checks all rows from the beginning. */
const KILLS: Point[] = [
  ...Array.from({ length: 6 }, () => ({ line: 'Copied', share: 1 / 7 })),
  ...[1 / 4, 1 / 2, 3 / 4].map((share) => ({ line: 'Checked', share })),
  { line: 'Writing the indexes', share: 0 },
]
/** After the line that says so, the server builds indexes; this long, and it is in the middle of them. */
const BUILDING_MS = 5000

const POLL_MS = 200
const TICKS_PER_SECOND = 100

/** What one run of the command took. */
interface Run {
  seconds: number
  cpuSeconds: number
  mebibytes: number
  /** The last line of its progress. */
  last: string
  /** When each kind of line was printed first, in seconds. */
  phases: Record<string, number>
  isKilled: boolean
}

/** Where a store is copied to. */
export interface CopyTarget {
  /** Of an empty database. */
  databaseUrl: string
  /** Ends the command with SIGKILL at `KILLS`, and starts it again each time. */
  kill: boolean
  /** Prints a line of the report. */
  print: (line: string) => void
}

/** Copies the store of a data directory, and prints what it took. */
export async function measureCopy(
  env: Record<string, string>,
  { databaseUrl, kill, print }: CopyTarget,
): Promise<void> {
  const rows = countRows(env.BROKER_DATA_DIR ?? '')
  const runs: Run[] = []
  for (const point of [...(kill ? KILLS : []), undefined]) {
    runs.push(await runCopy(env, databaseUrl, rows, point))
  }
  const killed = runs.filter(({ isKilled }) => isKilled)
  const gigabytes = ((await readDatabaseBytes(databaseUrl)) / 1e9).toFixed(1)
  const sum = (field: 'seconds' | 'cpuSeconds') =>
    runs.reduce((sum, run) => sum + run[field], 0).toFixed(0)
  const peak = Math.max(...runs.map(({ mebibytes }) => mebibytes)).toFixed(0)
  print(`
Copied ${rows.toLocaleString('en-GB')} rows, ${gigabytes} GB on PostgreSQL, in ${sum('seconds')} s (the command's processor time: ${sum('cpuSeconds')} s), with at most ${peak} MiB of memory.`)
  for (const { seconds, last } of killed) print(`- killed after ${seconds.toFixed(0)} s: ${last}`)
  for (const [name, seconds] of Object.entries(runs.at(-1)?.phases ?? {}))
    print(`- "${name}" after ${seconds.toFixed(0)} s of the last run`)
  print(`- the last run took ${runs.at(-1)?.seconds.toFixed(0)} s`)
}

/** The size of a database. */
export async function readDatabaseBytes(databaseUrl: string): Promise<number> {
  const [row] = await query(databaseUrl, 'select pg_database_size(current_database()) as bytes')
  return Number((row as { bytes: string }).bytes)
}

async function runCopy(
  env: Record<string, string>,
  databaseUrl: string,
  rows: number,
  point: Point | undefined,
): Promise<Run> {
  const startedAt = performance.now()
  const elapsed = () => Math.round(performance.now() - startedAt) / 1000
  const child = runCli(['store', 'copy', '--to', databaseUrl], env)
  const run: Run = {
    seconds: 0,
    cpuSeconds: 0,
    mebibytes: 0,
    last: '',
    phases: {},
    isKilled: false,
  }
  const poll = setInterval(() => readUsage(child.pid ?? 0, run), POLL_MS)
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
    run.last = stderr.trim().split('\n').at(-1) ?? ''
    const progress = /^(Copied|Checked|Writing the indexes) ?([\d,]*)/.exec(run.last)
    if (!progress) return
    const [, name = '', count = ''] = progress
    run.phases[name] ??= elapsed()
    if (name !== point?.line) return
    if (Number(count.replaceAll(',', '')) < point.share * rows || run.isKilled) return
    run.isKilled = true
    void sleep(point.share === 0 ? BUILDING_MS : 0).then(() => child.kill('SIGKILL'))
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearInterval(poll)
  run.seconds = elapsed()
  if (run.isKilled ? signal !== 'SIGKILL' : code !== 0 || point)
    throw new Error(`store copy ended with ${code ?? signal}: ${stdout}${stderr}`)
  return run
}

/** Highest memory and processor time of a process, from Linux's /proc. */
function readUsage(pid: number, run: Run): void {
  try {
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0
    const [user = 0, system = 0] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .split(' ')
      .slice(13, 15)
    run.mebibytes = Math.max(run.mebibytes, Number(peak) / 1024)
    run.cpuSeconds = (Number(user) + Number(system)) / TICKS_PER_SECOND
  } catch {
    // It has ended.
  }
}

function countRows(directory: string): number {
  const client = new Database(join(directory, 'broker.db'), { readonly: true })
  const tables = ['connections', 'grants', 'events', 'sealed']
  const counts = tables.map((table) =>
    client.prepare(`select count(*) from ${table}`).pluck().get(),
  )
  client.close()
  return counts.reduce((sum: number, count) => sum + Number(count), 0)
}

const SAMPLES = 1000
const DAY_MS = 86_400_000

/** Access tokens by the broker tokens that get them. */
export type Samples = Map<string, string>

/**
 * Signs broker tokens of grants all over the filled store. Their access tokens live for a day from now, and the grants
 * are new: those of months ago are over.
 */
export async function signSamples(
  services: Pick<Services, 'config' | 'clock' | 'store' | 'keys'>,
): Promise<Samples> {
  const { config, clock, keys, store } = services
  const client = new Database(join(config.dataDir, 'broker.db'))
  const until = clock.now() + DAY_MS
  // The ids are random.
  const found = client
    .prepare<[number, number], { id: string; connection: string }>(
      `select grants.id as id, connections.id as connection
       from grants join connections on connections.id = connection_id
       where grants.revoked_at is null and expires_at_seconds > ? and status = 'active' order by grants.id limit ?`,
    )
    .all(until / 1000, SAMPLES)
  const extend = client.prepare('update connections set access_token_expires_at = ? where id = ?')
  const renew = client.prepare('update grants set created_at = ? where id = ?')
  client.transaction(() => {
    for (const { id, connection } of found) {
      extend.run(until, connection)
      renew.run(clock.now(), id)
    }
  })()
  client.close()
  const tokens = createBrokerTokens({
    ...{ keys, clock, publicUrl: config.publicUrl, formerUrls: [] },
    accountSubject: async () => undefined,
  })
  const samples: Samples = new Map()
  for (const { id, connection } of found) {
    const grant = await store.getGrant(id)
    if (grant) samples.set(await tokens.sign(grant), sampleAccessToken(connection))
  }
  return samples
}

/** Swaps each broker token. @throws Error if one gets another access token */
export async function checkSamples(url: string, samples: Samples): Promise<void> {
  for (const [brokerToken, accessToken] of samples) {
    const { status, body } = await exchange({ url } as TestBroker, brokerToken)
    if (body.access_token !== accessToken)
      throw new Error(`a swap after the copy got ${status} ${String(body.error)}`)
  }
}

/** Refreshes a connection. @throws Error if it can't be */
export async function checkRefresh(url: string, brokerToken: string): Promise<void> {
  const before = await exchange({ url } as TestBroker, brokerToken)
  const after = await exchange({ url } as TestBroker, brokerToken, { force: true })
  if (after.status !== 200 || after.body.access_token === before.body.access_token)
    throw new Error(`a refresh after the copy got ${after.status} ${String(after.body.error)}`)
}
