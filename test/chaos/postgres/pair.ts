/** Two PostgreSQL servers, each on a machine of its own: a primary and its standby. */
import { spawn } from 'node:child_process'
import { appendFileSync, chownSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { PROGRAMS, serverUser } from '../../postgres.ts'
import { clockEnvironment } from './clock.ts'
import type { Host } from './hosts.ts'

export const PORT = 5432
const POLL_INTERVAL_MS = 50
/** A server or a standby that is not there by then will not come. */
const START_TIMEOUT_MS = 60_000
const ASK_TIMEOUT_MS = 3000

const settings = {
  listen_addresses: '*',
  unix_socket_directories: '',
  fsync: 'off',
  max_connections: '300',
  synchronous_commit: 'on',
  // A new primary waits for its standby, too.
  synchronous_standby_names: '*',
  wal_sender_timeout: '3s',
  wal_receiver_timeout: '3s',
  wal_retrieve_retry_interval: '200ms',
  wal_keep_size: '64MB',
  max_wal_size: '128MB',
}

interface ServerOptions {
  /** The file of its log. */
  log: string
  /** How far its clock is from the true time. */
  clockOffsetMs?: number
  /** Of its `postgresql.conf`. */
  settings?: Record<string, string>
}

/** One of the two servers. */
export class Server {
  readonly host: Host
  readonly #folder: string
  readonly #clockOffsetMs: number
  readonly #log: string
  readonly #settings: Record<string, string>

  constructor(host: Host, folder: string, options: ServerOptions) {
    this.host = host
    this.#folder = folder
    this.#clockOffsetMs = options.clockOffsetMs ?? 0
    this.#log = options.log
    this.#settings = { ...settings, ...options.settings }
    mkdirSync(folder)
    const { uid, gid } = serverUser()
    chownSync(folder, uid, gid)
  }

  url(database: string): string {
    return `postgres://postgres@${this.host.address}:${PORT}/${database}`
  }

  #run(program: string, ...args: string[]): string {
    return this.host.run(...asServer(join(PROGRAMS ?? '', program), ...args))
  }

  /** Creates an empty cluster. */
  initialize(): void {
    const flags = ['--auth=trust', '--no-sync', '--wal-segsize=1', '--encoding=UTF8', '--no-locale']
    this.#run('initdb', '--pgdata', this.#data, '--username=postgres', ...flags)
    const anyone = `host all,replication all samenet trust\nhost replication all samenet trust\n`
    appendFileSync(join(this.#data, 'pg_hba.conf'), anyone)
  }

  /** Starts the server. Resolves when it answers. */
  async start(): Promise<void> {
    const flags = Object.entries(this.#settings).flatMap(([name, value]) => [
      '-c',
      `${name}=${value}`,
    ])
    // Not for `setpriv`: the library would keep its state as a user whom the server can't read.
    const clock = Object.entries(clockEnvironment(this.#clockOffsetMs)).map(
      ([name, value]) => `${name}=${value}`,
    )
    const command = asServer(
      'env',
      ...clock,
      join(PROGRAMS ?? '', 'postgres'),
      '-D',
      this.#data,
      ...flags,
    )
    const [program, ...args] = this.host.command
    const log = openSync(this.#log, 'a')
    const launch = () => spawn(program, [...args, ...command], { stdio: ['ignore', log, log] })
    let server = launch()
    await until(
      () =>
        this.ask('select 1').then(
          () => true,
          () => {
            // While a killed process still ends, the next server refuses to start.
            if (server.exitCode !== null) server = launch()
            return false
          },
        ),
      `${this.host.address} starts`,
    )
  }

  /** The rows of a query. @throws its error, also if it takes long */
  async ask(text: string): Promise<unknown[]> {
    const connectionString = this.url('postgres')
    const limits = { connectionTimeoutMillis: ASK_TIMEOUT_MS, query_timeout: ASK_TIMEOUT_MS }
    const client = new Client({ connectionString, ...limits })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return (await client.query<object>(text)).rows
    } finally {
      void client.end().catch(() => undefined)
    }
  }

  /** Ends all of its processes at once, and starts it again. */
  async crash(): Promise<void> {
    await this.host.powerOff()
    await this.start()
  }

  /** Makes it a standby of that server, with a copy of its data. Resolves when commits wait for it. */
  async follow(primary: Server): Promise<void> {
    await this.host.powerOff()
    const from = `host=${primary.host.address} port=${PORT} user=postgres`
    const flags = ['--checkpoint=fast', '--no-sync', '--wal-method=stream', '--no-manifest', '-R']
    const copy = () => {
      rmSync(this.#data, { recursive: true, force: true })
      this.#run('pg_basebackup', '--pgdata', this.#data, ...flags, '--dbname', from)
    }
    // A network that was just plugged in takes a moment.
    const hasCopied = () =>
      Promise.resolve()
        .then(copy)
        .then(
          () => true,
          () => false,
        )
    await until(hasCopied, `${this.host.address} copies its primary`)
    await this.start()
    await primary.standbyInSync()
  }

  /** Resolves when a standby has everything that was committed, and commits wait for it. */
  async standbyInSync(): Promise<void> {
    const wanted = this.#settings.synchronous_standby_names === '' ? 'async' : 'sync'
    const synchronous = `select from pg_stat_replication where state = 'streaming' and sync_state = '${wanted}'`
    const isSynchronous = () =>
      this.ask(synchronous).then(
        (rows) => rows.length === 1,
        () => false,
      )
    await until(isSynchronous, `${this.host.address} has a standby`)
  }

  /** Stops it as an operator does. */
  async stop(): Promise<void> {
    this.#run('pg_ctl', 'stop', '--pgdata', this.#data, '--mode=fast', '--wait')
    await this.host.powerOff()
  }

  promote(): void {
    this.#run('pg_ctl', 'promote', '--pgdata', this.#data, '--wait')
  }

  get #data(): string {
    return join(this.#folder, 'data')
  }
}

const asServer = (program: string, ...args: string[]): [string, ...string[]] => {
  const { uid, gid } = serverUser()
  const user = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
  return ['setpriv', ...user, program, ...args]
}

async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  for (const from = performance.now(); performance.now() - from < START_TIMEOUT_MS;) {
    if (await isSo()) return
    await sleep(POLL_INTERVAL_MS)
  }
  throw new Error(`not within ${START_TIMEOUT_MS} ms: ${what}`)
}

/** The two servers, and which one is the primary. */
export class Pair {
  primary: Server
  standby: Server

  private constructor(primary: Server, standby: Server) {
    this.primary = primary
    this.standby = standby
  }

  static async start(primary: Server, standby: Server): Promise<Pair> {
    primary.initialize()
    await primary.start()
    await standby.follow(primary)
    return new Pair(primary, standby)
  }

  /**
   * Makes the standby the primary. The former one must be off: one that still runs would answer reads as of
   * before. It comes back as the standby.
   */
  async failOver(): Promise<void> {
    await this.primary.host.powerOff()
    this.standby.promote()
    ;[this.primary, this.standby] = [this.standby, this.primary]
    await this.standby.follow(this.primary)
  }
}
