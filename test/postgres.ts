import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, globSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Client } from 'pg'
import { freePort } from './free-port.ts'
import { makeFolder } from './temporary.ts'

/** Debian's programs of the newest installed server. */
export const PROGRAMS = globSync('/usr/lib/postgresql/*/bin')
  .sort((one, other) => one.localeCompare(other, 'en', { numeric: true }))
  .at(-1)

/** For tap's `skip`: the reason if no PostgreSQL server is installed, otherwise `false`. */
export const noPostgres: string | false =
  PROGRAMS === undefined && 'PostgreSQL is missing: apt-get install postgresql'

/** Is a PostgreSQL server installed? */
export const isInstalled = (): boolean => noPostgres === false

/** A temporary PostgreSQL server. */
export interface Cluster {
  /** Of 127.0.0.1; every user is trusted. */
  port: number
  /** Has the folders `data` and `socket`, and the server's `log`. */
  folder: string
  /** Of one of its databases, for the superuser `postgres`. */
  urlOf(database: string): string
  /** Runs a program of PostgreSQL, such as `pg_ctl`, as the server's user. @throws Error with what it printed */
  run(program: string, ...args: string[]): string
  /** Stops it and removes its folder. It stops with this process, too, however that ends. */
  stop(): void
}

/**
 * Creates a cluster and starts its server.
 * @param options.settings of its `postgresql.conf`
 * @param options.folder an empty one, which it removes; default: a temporary one, in memory if there is room
 * @param options.create a shell command that creates the folder `data`; default: an empty cluster. It sorts texts
 *   by the rules of a language, as most servers do, so that tests notice what relies on the order of bytes
 */
export async function startCluster(
  options: { settings?: Record<string, string>; create?: string; folder?: string } = {},
): Promise<Cluster> {
  const owner = process.getuid?.() === 0 ? serverUser() : undefined
  const folder = options.folder ?? makeFolder()
  if (owner) chownSync(folder, owner.uid, owner.gid)
  const port = await freePort()
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: `${folder}/socket`,
    fsync: 'off',
    max_connections: '200',
    ...options.settings,
  }
  const env = { PATH: `${PROGRAMS}:${process.env.PATH}`, LC_ALL: 'C.UTF-8' }
  const asOwner = { ...owner, env, cwd: folder }
  const initialize = `initdb --pgdata data --username postgres --auth trust --no-sync --encoding UTF8 \
    --locale-provider icu --icu-locale en > log`
  const flags = Object.entries(settings).map(([name, value]) => `-c ${name}='${value}'`)
  // Ends with its input: when this process ends.
  const script = `mkdir socket && ${options.create ?? initialize} &&
    pg_ctl start --pgdata data --log log --wait --options "$0" > start && echo started || echo failed
    cat > start
    pg_ctl stop --pgdata data --mode immediate > start
    rm -rf "$PWD"`
  const child = spawn('sh', ['-c', script, flags.join(' ')], {
    ...asOwner,
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const [text] = (await once(child.stdout, 'data')) as unknown[]
  if (String(text) !== 'started\n') {
    child.stdin.end()
    throw new Error(`PostgreSQL did not start: ${readFileSync(join(folder, 'log'), 'utf8')}`)
  }
  for (const part of [child, child.stdin as Socket, child.stdout as Socket]) part.unref()
  return {
    port,
    folder,
    urlOf: (database) => `postgres://postgres@127.0.0.1:${port}/${database}`,
    run(program, ...args) {
      const { status, stdout, stderr } = spawnSync(program, args, { ...asOwner, encoding: 'utf8' })
      if (status !== 0) throw new Error(`${program} failed: ${stderr}${stdout}`)
      return stdout
    },
    stop: () => void child.stdin.end(),
  }
}

/** A server does not run as root. */
export function serverUser(): { uid: number; gid: number } {
  const id = (flag: string) => Number(spawnSync('id', [flag, 'postgres']).stdout.toString())
  return { uid: id('-u'), gid: id('-g') }
}

let shared: Promise<Cluster> | undefined
let databases = 0

/** The cluster that the tests of this process share. */
export const sharedCluster = (): Promise<Cluster> => (shared ??= startCluster())

/**
 * Creates a database for a test, and drops it with the test.
 * @param template another database, to be copied; nobody may be connected to it. Default: an empty one
 * @returns its URL, for the superuser `postgres`
 */
export async function createDatabase(
  t: Pick<Test, 'teardown'>,
  template = 'template0',
): Promise<string> {
  const cluster = await sharedCluster()
  const name = `test_${++databases}`
  await query(cluster.urlOf('postgres'), `create database ${name} template ${template}`)
  t.teardown(() => query(cluster.urlOf('postgres'), `drop database ${name} with (force)`))
  return cluster.urlOf(name)
}

/** Runs statements on a connection of their own. Returns the rows of the last one. */
export async function query(url: string, text: string): Promise<unknown[]> {
  const client = new Client(url)
  await client.connect()
  try {
    const results = [await client.query<Record<string, unknown>>(text)].flat()
    return results.at(-1)?.rows ?? []
  } finally {
    await client.end()
  }
}
