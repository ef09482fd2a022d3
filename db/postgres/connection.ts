import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { codeOf } from './failures.ts'

/** Makes a connection to PostgreSQL, which is not connected yet. */
export type NewClient = new (config?: pg.ClientConfig) => pg.Client

/** How long a new connection may take. */
export const CONNECT_TIMEOUT_MS = 3000
/** A server that starts, or has no connection to spare. */
const SOON_READY = /^(57P03|53300)$/
const PAUSE_MS = 100
/** The SQLSTATE of a write to a server that takes none. */
export const READ_ONLY = '25006'

/**
 * Connections to the first of some servers that takes writes, as libpq's `target_session_attrs=read-write`; pg knows
 * one server only. A server that can't be reached, or is a standby, is asked again after the others.
 * @param urls one for each server, in order
 */
export function createClientClass(urls: readonly string[]): NewClient {
  let current = 0
  return class extends pg.Client {
    /** The server that this connection is to. */
    private readonly server = current

    constructor(config: pg.ClientConfig = {}) {
      super({
        connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
        keepAlive: true,
        application_name: 'ellipsis-broker',
        ...config,
        connectionString: urls[current],
      })
      // What breaks is told by the next query; without a listener, it would end the process.
      this.on('error', () => undefined)
    }

    override connect(): Promise<pg.Client>
    override connect(callback: (error: Error | null, client?: pg.Client) => void): void
    override connect(callback?: (error: Error | null, client?: pg.Client) => void) {
      const connected = this.connectToPrimary()
      if (!callback) return connected
      void connected.then(
        (client) => callback(null, client),
        (error: Error) => callback(error),
      )
      return undefined
    }

    private async connectToPrimary(): Promise<pg.Client> {
      try {
        await super.connect()
        const { rows } = await this.query<{ value: string }>(
          "select current_setting('transaction_read_only') as value",
        )
        if (rows[0]?.value === 'off') return this
        throw Object.assign(new Error('the server takes no writes'), { code: READ_ONLY })
      } catch (error) {
        if (current === this.server) current = (current + 1) % urls.length
        await this.end()
        throw error
      }
    }
  }
}

/**
 * Connects to the first server that takes writes.
 * @param servers how many there are
 * @param waitMs how long a server is waited for that starts, or has no connection to spare
 * @throws the error of the last one
 */
export async function connect(Client: NewClient, servers: number, waitMs = 0): Promise<pg.Client> {
  const deadline = performance.now() + waitMs
  for (let attempt = 1; ; attempt++) {
    const client = new Client()
    try {
      await client.connect()
      return client
    } catch (error) {
      if (attempt < servers) continue
      if (!SOON_READY.test(codeOf(error)) || performance.now() >= deadline) throw error
    }
    await setTimeout(PAUSE_MS)
  }
}
