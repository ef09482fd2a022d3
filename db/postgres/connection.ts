import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { ConnectionError, codeOf, failConnection } from './failures.ts'

/** Makes connections to PostgreSQL, which are not connected yet. */
export interface NewClient {
  new (config?: pg.ClientConfig): pg.Client
  /** How many servers there are. */
  readonly servers: number
  /** Resolves when all servers have been asked once which of them is the primary. */
  ready(): Promise<void>
  /** Asks all servers which of them is the primary. */
  look(): Promise<void>
}

/** How long a new connection may take. */
export const CONNECT_TIMEOUT_MS = 3000
/** A server that starts, or has no connection to spare. */
const SOON_READY = /^(57P03|53300)$/
const PAUSE_MS = 100
/** The SQLSTATE of a write to a server that takes none. */
export const READ_ONLY = '25006'
/** How often the servers are asked whether another one has become the primary. */
const LOOK_INTERVAL_MS = 10_000
/** A server that has not answered by then counts as gone; a start waits for it. */
const LOOK_TIMEOUT_MS = 2000

/** A statement that is not answered by then meets a server that hangs, or a network that lost its answer. */
export const STATEMENT_TIMEOUT_MS = 5000
/** For a connection with statements over whole tables. */
export const NO_TIMEOUT: pg.ClientConfig = { query_timeout: 0 }
/** A server that hangs does not answer the end of a connection. */
const END_TIMEOUT_MS = 1000

/**
 * Otherwise the server completes a statement that nobody waits for any more: its broker was killed, or gave up. Not all
 * systems have it.
 */
const END_WITH_CLIENT = `set client_connection_check_interval = '1s'`

const COMMON: pg.ClientConfig = { keepAlive: true, application_name: 'ellipsis-broker' }

/** What a server is. */
interface Role {
  takesWrites: boolean
  /** A primary and its standbys are one cluster. Empty: the server does not tell. */
  cluster: string
  /** How many times a standby of the cluster has become the primary, plus one. 0: the server does not tell. */
  timeline: number
}

/**
 * Connections to the first of some servers that takes writes, as libpq's `target_session_attrs=read-write`; pg knows
 * one server only. A server that can't be reached, or is a standby, is asked again after the others.
 *
 * A former primary that nobody turned off, or that came back, takes writes, too. Its timeline tells: a standby that
 * becomes the primary begins the next one. A server with an older timeline than one that was seen gets no connection,
 * and those that it has are dropped. This is known while the process lives, so a restart accepts a cluster that was
 * put back to an earlier state.
 * @param urls one for each server, in order
 */
export function createClientClass(urls: readonly string[]): NewClient {
  let current = 0
  let firstLook: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  /** The newest timeline of each cluster. */
  const newest = new Map<string, number>()
  const connected = new Map<pg.Client, Role>()

  const isFormer = ({ cluster, timeline }: Role) => timeline < (newest.get(cluster) ?? 0)
  const isPrimary = (role: Role | null | undefined) => role?.takesWrites === true && !isFormer(role)

  const note = ({ cluster, timeline, takesWrites }: Role): void => {
    if (!takesWrites || timeline <= (newest.get(cluster) ?? 0)) return
    newest.set(cluster, timeline)
    // A query that is running fails as if the network broke.
    for (const [client, role] of connected) if (isFormer(role)) streamOf(client).destroy()
  }

  const look = async (): Promise<void> => {
    const roles = await Promise.all(urls.map(askRole))
    for (const role of roles) if (role) note(role)
    if (roles[current] && !isPrimary(roles[current]))
      current = Math.max(0, roles.findIndex(isPrimary))
  }

  /** Looks again and again while there are connections. */
  const watch = (): void => {
    timer ??= setInterval(() => {
      if (connected.size > 0) return void look()
      clearInterval(timer)
      timer = undefined
    }, LOOK_INTERVAL_MS).unref()
  }

  return class extends pg.Client {
    static readonly servers = urls.length
    static readonly look = look
    static async ready(): Promise<void> {
      if (urls.length > 1) await (firstLook ??= look())
    }

    /** The server that this connection is to. */
    private readonly server = current

    constructor(config: pg.ClientConfig = {}) {
      super({
        connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
        query_timeout: STATEMENT_TIMEOUT_MS,
        ...COMMON,
        ...config,
        connectionString: urls[current],
      })
      // What breaks is told by the next query; without a listener, it would end the process.
      this.on('error', () => undefined)
    }

    override connect(): Promise<pg.Client>
    override connect(callback: (error: Error | null, client?: pg.Client) => void): void
    override connect(callback?: (error: Error | null, client?: pg.Client) => void) {
      const connecting = this.connectToPrimary()
      if (!callback) return connecting
      void connecting.then(
        (client) => callback(null, client),
        (error: Error) => callback(error),
      )
      return undefined
    }

    /** @throws DatabaseError if the server answered with an error, otherwise ConnectionError */
    override query(...args: never): never {
      const result = (super.query as (...args: never) => unknown)(...args)
      return (result instanceof Promise ? result.catch(failConnection) : result) as never
    }

    override end(): Promise<void>
    override end(callback: (error: Error) => void): void
    override end(callback?: (error: Error) => void) {
      globalThis.setTimeout(() => streamOf(this).destroy(), END_TIMEOUT_MS).unref()
      return callback ? super.end(callback) : super.end()
    }

    private async connectToPrimary(): Promise<pg.Client> {
      try {
        await super.connect()
        await super.query(END_WITH_CLIENT).catch(ignoreRefusal)
        const role = await readRole(this)
        note(role)
        if (!role.takesWrites)
          throw Object.assign(new Error('the server takes no writes'), { code: READ_ONLY })
        if (isFormer(role)) throw new Error('another server has replaced this primary')
        connected.set(this, role)
        this.once('end', () => connected.delete(this))
        watch()
        return this
      } catch (error) {
        if (current === this.server) current = (current + 1) % urls.length
        await this.end()
        throw error
      }
    }
  }
}

/**
 * Connects to the primary.
 * @param options.waitMs how long a server is waited for that starts, or has no connection to spare
 * @throws ConnectionError with the error of the server that was tried last
 */
export async function connect(
  Client: NewClient,
  { waitMs = 0, ...config }: pg.ClientConfig & { waitMs?: number } = {},
): Promise<pg.Client> {
  const deadline = performance.now() + waitMs
  await Client.ready()
  for (let attempt = 1; ; attempt++) {
    const client = new Client(config)
    try {
      await client.connect()
      return client
    } catch (error) {
      if (attempt < Client.servers) continue
      if (!SOON_READY.test(codeOf(error)) || performance.now() >= deadline)
        throw new ConnectionError(error)
    }
    await setTimeout(PAUSE_MS)
  }
}

/** @returns `null`: the server gave no answer in time */
async function askRole(url: string): Promise<Role | null> {
  let client: pg.Client | undefined
  try {
    // Reads the files that the URL names, and fails if it can't.
    client = new pg.Client({
      ...COMMON,
      connectionString: url,
      connectionTimeoutMillis: LOOK_TIMEOUT_MS,
      query_timeout: LOOK_TIMEOUT_MS,
    })
    client.on('error', () => undefined)
    await client.connect()
    return await readRole(client)
  } catch {
    return null
  } finally {
    // A server that hangs would hold up its end, too.
    void client?.end().catch(() => undefined)
  }
}

async function readRole(client: pg.Client): Promise<Role> {
  // As text: pools may read other types in their own way.
  const access = "select current_setting('transaction_read_only') as value"
  const { rows } = await client.query<{ value: string }>(access)
  if (rows[0]?.value !== 'off') return { takesWrites: false, cluster: '', timeline: 0 }
  // Not in the checkpoint: it tells the former timeline until the next one.
  const place = `select system_identifier::text as cluster,
    left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline from pg_control_system()`
  // Services that are compatible with PostgreSQL may lack these functions.
  const found = await client
    .query<{ cluster: string; timeline: string }>(place)
    .catch(ignoreRefusal)
  const [{ cluster, timeline } = { cluster: '', timeline: '0' }] = found?.rows ?? []
  return { takesWrites: true, cluster, timeline: parseInt(timeline, 16) }
}

/** A handler of errors of what not every server has. @throws ConnectionError */
function ignoreRefusal(error: unknown): undefined {
  if (!(error instanceof pg.DatabaseError)) throw error
}

const streamOf = (client: pg.Client) => client.connection.stream
