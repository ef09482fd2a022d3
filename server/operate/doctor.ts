import { existsSync, readdirSync, statSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { inspectDatabase } from '../../db/copy.ts'
import type { Inspected } from '../../db/copy.ts'
import { listPresent } from '../../db/presence.ts'
import { readMigrations, sqliteBinding } from '../assets.ts'
import type { Config } from '../config.ts'
import { keyIdOf } from '../domain/vault.ts'
import { createEllipsisClient, EllipsisError } from '../ellipsis/client.ts'
import { fingerprintsOf } from '../ownership.ts'
import { readKeys, secretKeyFile } from '../secret-key.ts'
import { Secret } from '../secret.ts'
import type { World } from '../services.ts'
import { DAMAGE } from '../start-error.ts'
import { reasonOf } from './backup.ts'

/** What one check found. `warning`: it works, but may not for long, or couldn't be told. */
export interface Finding {
  check: string
  status: 'ok' | 'warning' | 'problem'
  finding: string
  /** What to do; `null`: nothing. */
  mend: string | null
}

type Told = Omit<Finding, 'check'>
type Patient = Config & { world: Pick<World, 'clock' | 'fetch'> }

const ok = (finding: string): Told => ({ status: 'ok', finding, mend: null })
const warning = (finding: string, mend: string): Told => ({ status: 'warning', finding, mend })
const problem = (finding: string, mend: string): Told => ({ status: 'problem', finding, mend })

/** What is wrong with this installation, and the mend of each. Changes nothing. */
export async function examine(config: Config, world: Patient['world']): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [check, look] of Object.entries(checks)) {
    const told = await look({ ...config, world }).catch((error: unknown) =>
      problem(`it could not be looked at: ${reasonOf(error)}`, 'Mend what is told first.'),
    )
    findings.push({ check, ...told })
  }
  return findings
}

const checks: Record<string, (patient: Patient) => Promise<Told>> = {
  'data directory': async ({ dataDir }) => {
    if (!existsSync(join(dataDir, 'broker.db'))) {
      const mend = 'Set BROKER_DATA_DIR to where `serve` works, or run `serve` once.'
      return problem(`there is no database in ${dataDir}`, mend)
    }
    const names = ['.', ...readdirSync(dataDir).filter((name) => /^(broker\.db|secret)/.test(name))]
    const open = names.filter((name) => (statSync(join(dataDir, name)).mode & 0o077) !== 0)
    if (open.length === 0 || process.platform === 'win32')
      return ok(`${dataDir}, its owner’s alone`)
    const mend = `As the broker’s user: chmod 700 ${dataDir} && chmod 600 ${dataDir}/broker.db* ${dataDir}/secret.key`
    return problem(`others on this machine can read ${open.join(', ')} in ${dataDir}`, mend)
  },

  'file system': async ({ dataDir }) => judgeFileSystem(statfsSync(dataDir).type),

  'disk space': async ({ dataDir }) => {
    const { bavail, bsize } = statfsSync(dataDir)
    const path = join(dataDir, 'broker.db')
    return judgeSpace(bavail * bsize, existsSync(path) ? statSync(path).size : 0)
  },

  'encryption keys': async ({ dataDir, nativeDir, secrets }) => {
    const file = secretKeyFile(dataDir)
    const keys = secrets ?? (existsSync(file) ? readKeys(file) : [])
    const { meta } = inspectDatabase(
      join(dataDir, 'broker.db'),
      sqliteBinding({ dataDir, nativeDir }),
    )
    const have = keys.map(keyIdOf)
    const missing = fingerprintsOf(meta).filter((id) => !have.includes(id))
    const source = secrets ? 'BROKER_SECRETS' : file
    if (missing.length === 0) return ok(`${source} opens what is stored (${have.join(', ')})`)
    const mend = `Put it back into ${source}; without it what it sealed is lost. \`secret check\` says how much that is.`
    return problem(`${source} lacks the key ${missing.join(' and ')}`, mend)
  },

  database: async ({ dataDir, nativeDir }) => {
    const found = inspect(join(dataDir, 'broker.db'), sqliteBinding({ dataDir, nativeDir }))
    const [fault] = found.problems
    if (fault !== undefined) {
      const mend = 'Stop the brokers, keep the directory, and restore the last backup.'
      return problem(`it is damaged: ${fault}`, mend)
    }
    const known = readMigrations().map(({ folderMillis }) => folderMillis)
    if (!found.migrations.every((at) => known.includes(at))) {
      return problem('a newer version of this program wrote it', 'Use that version.')
    }
    return ok(`whole; ${found.connections} connections`)
  },

  'Ellipsis Drive': async (patient) => askUpstream(patient),

  clock: async ({ ellipsis, world }) => {
    const began = world.clock.now()
    const { headers } = await world.fetch(ellipsis.apiUrl, { method: 'HEAD', ...within() })
    return judgeClock(headers.get('date'), (began + world.clock.now()) / 2)
  },

  'running brokers': async ({ dataDir, nativeDir }) => {
    const brokers = listPresent(dataDir, sqliteBinding({ dataDir, nativeDir })).filter(
      ({ command }) => command === 'serve',
    )
    if (brokers.length > 0) return ok(brokers.map(({ pid }) => `process ${pid}`).join(', '))
    return warning(
      'none runs on this data directory',
      'Start `serve`, and run `doctor` again beside it.',
    )
  },

  'public URL': async ({ publicUrl, callbackUrl, world }) => {
    const answer = await reach(world.fetch, `${publicUrl}/healthz`)
    if (answer.status !== 200) return unreachable(publicUrl, answer.status)
    const callback = await reach(world.fetch, callbackUrl)
    if (callback.status === 400) return ok(`${publicUrl}, with the callback ${callbackUrl}`)
    return problem(
      `the callback ${callbackUrl} is not answered by a broker (status ${callback.status})`,
      'Let the proxy lead every path under the public URL here, with its query.',
    )
  },

  metadata: async ({ publicUrl, basePath, world }) => {
    const wellKnown = '/.well-known/oauth-authorization-server'
    const inserted = new URL(publicUrl).origin + wellKnown + basePath
    for (const url of new Set([publicUrl + wellKnown, inserted])) {
      const { status, json } = await reach(world.fetch, url)
      if (status !== 200) {
        return problem(
          `${url} answers ${status || 'nothing'}`,
          'Let the proxy lead this path to the broker too (RFC 8414).',
        )
      }
      if (json?.issuer !== publicUrl) {
        const mend = 'Set BROKER_PUBLIC_URL to the same for every broker, and restart them.'
        return problem(`${url} names another issuer than ${publicUrl}`, mend)
      }
    }
    return ok(`at ${inserted}`)
  },

  'proxy headers': async ({ publicUrl, trustProxy }) => judgeProxy(publicUrl, trustProxy),
}

/** What a file is found to be; one that SQLite can't even read is damaged too. */
function inspect(...file: Parameters<typeof inspectDatabase>): Inspected {
  try {
    return inspectDatabase(...file)
  } catch (error) {
    if (!DAMAGE.test(String((error as { code?: unknown }).code))) throw error
    return { problems: [reasonOf(error)], migrations: [], meta: {}, connections: 0 }
  }
}

/** Types of statfs(2) on which SQLite's locks or its log can't be relied on. */
const NETWORK: Record<number, string> = {
  0x6969: 'NFS',
  0xff534d42: 'CIFS',
  0xfe534d42: 'SMB',
  0x517b: 'SMB',
  0x01021997: '9P',
  0x65735546: 'FUSE',
  0x00c36400: 'Ceph',
}

export function judgeFileSystem(type: number): Told {
  const network = NETWORK[type >>> 0]
  if (network !== undefined) {
    const mend =
      'Move the data directory to a local disk: SQLite loses data where locks are not exact.'
    return problem(`the data directory is on a network file system (${network})`, mend)
  }
  if (type >>> 0 === 0x01021994) {
    return problem(
      'the data directory is in memory (tmpfs)',
      'Move it to a disk: it is lost with the next restart.',
    )
  }
  if (type >>> 0 === 0x794c7630) {
    return warning(
      'the data directory is in a container’s own layer',
      'Mount a volume there: it is lost with the container.',
    )
  }
  return ok('local')
}

export function judgeSpace(free: number, size: number): Told {
  const text = `${Math.floor(free / 1e6).toLocaleString('en')} MB free, the database has ${Math.ceil(size / 1e6).toLocaleString('en')} MB`
  if (free < 100e6)
    return problem(text, 'Make room: a full disk keeps refreshed tokens from being stored.')
  if (free > size * 2) return ok(text)
  return warning(text, 'Make room for as much again twice: an upgrade and a restore keep a copy.')
}

export function judgeClock(date: string | null, now: number): Told {
  const theirs = Date.parse(date ?? '')
  if (Number.isNaN(theirs))
    return warning('Ellipsis Drive tells no time', 'Compare this machine’s clock by hand.')
  const seconds = Math.round((now - theirs) / 1000)
  if (Math.abs(seconds) <= 10) return ok('within 10 s of Ellipsis Drive’s')
  const words = `${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} Ellipsis Drive’s`
  const mend = 'Set the clock, and let NTP keep it: tokens are judged by it.'
  return Math.abs(seconds) < 60 ? warning(words, mend) : problem(words, mend)
}

export function judgeProxy(publicUrl: string, trustProxy: string[]): Told {
  if (new URL(publicUrl).protocol === 'http:')
    return ok('no proxy is needed for plain http on this machine')
  if (trustProxy.includes('0.0.0.0/0') || trustProxy.includes('::/0')) {
    const mend =
      'Name your proxies’ addresses alone: as it is, every visitor can claim any address.'
    return problem('BROKER_TRUST_PROXY trusts everyone', mend)
  }
  if (trustProxy.length > 0) return ok(`X-Forwarded-For is believed from ${trustProxy.join(', ')}`)
  const mend =
    'If a proxy stands in front, set BROKER_TRUST_PROXY to its address, and let it send X-Forwarded-For: otherwise all visitors share one address, and its limits.'
  return warning('BROKER_TRUST_PROXY is not set, and the public URL is https', mend)
}

/** A refresh with a token that never was: how it is refused tells whether the client is known. */
async function askUpstream({ ellipsis, callbackUrl, world }: Patient): Promise<Told> {
  if (ellipsis.clientId === '') {
    return problem(
      'ELLIPSIS_CLIENT_ID is not set',
      'Set it, and ELLIPSIS_CLIENT_SECRET: docs/configure.md says where they are found.',
    )
  }
  const now = () => world.clock.now()
  const options = {
    ...ellipsis,
    redirectUri: callbackUrl,
    fetch: world.fetch,
    now,
    timeoutMs: 10_000,
  }
  const client = createEllipsisClient(options)
  const answer = await client
    .refresh(new Secret('ellipsis-broker-doctor'))
    .catch((error: unknown) => error)
  if (!(answer instanceof EllipsisError))
    return warning('it took a token that never was', 'Check ELLIPSIS_API_URL.')
  if (answer.kind === 'refused') return ok(`${ellipsis.apiUrl} takes the client’s credentials`)
  if (answer.kind === 'misconfigured') {
    return problem(
      'it refuses the client',
      'Check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET in its Developer settings.',
    )
  }
  if (answer.status === null || answer.status >= 500) {
    return problem(answer.message, 'Check ELLIPSIS_API_URL, and whether this machine may call out.')
  }
  return warning(
    `it answers, but not so that one could tell whether it knows the client (status ${answer.status})`,
    'Run `probe`, which finds out how it likes to be asked; try ELLIPSIS_TOKEN_REQUEST=json.',
  )
}

function unreachable(publicUrl: string, status: number): Told {
  const what = status === 0 ? 'can’t be reached from here' : `answers ${status}`
  const mend =
    'Check that a broker runs, its proxy, the name’s address and the certificate. Behind some routers a host can’t reach its own public address: then try from elsewhere.'
  return problem(`${publicUrl} ${what}`, mend)
}

const within = () => ({ signal: AbortSignal.timeout(10_000), redirect: 'manual' as const })

/** Status 0: there was no answer. */
async function reach(fetchFn: typeof fetch, url: string) {
  try {
    const response = await fetchFn(url, within())
    const text = (await response.text()).slice(0, 100_000)
    const isJson = response.headers.get('content-type')?.includes('json') === true
    return {
      status: response.status,
      json: isJson ? (JSON.parse(text) as { issuer?: string }) : null,
    }
  } catch {
    return { status: 0, json: null }
  }
}
