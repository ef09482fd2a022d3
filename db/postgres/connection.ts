import pg from 'pg'

/** Makes a connection to PostgreSQL, which is not connected yet. */
export type NewClient = new (config?: pg.ClientConfig) => pg.Client

const CONNECT_TIMEOUT_MS = 3000
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
        this.on('error', () => undefined)
        await this.end()
        throw error
      }
    }
  }
}

/** Connects to the first server that takes writes. @throws the error of the last one */
export async function connect(Client: NewClient, servers: number): Promise<pg.Client> {
  for (let attempt = 1; ; attempt++) {
    const client = new Client()
    try {
      await client.connect()
      // What breaks later is told by the next query.
      client.on('error', () => undefined)
      return client
    } catch (error) {
      if (attempt >= servers) throw error
    }
  }
}
