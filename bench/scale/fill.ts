/**
 * Fills a store with connections like those of a large host: a fifth unused for months, some that need to
 * reconnect, three grants each, spread over five apps of very different size.
 */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { App, Sealed } from '../../db/store.ts'
import { fold } from '../../db/fold.ts'
import { loadConfig } from '../../server/config/config.ts'
import { appDefaults } from '../../server/oauth/app-settings.ts'
import { createLog } from '../../server/log.ts'
import { Secret } from '../../server/secret.ts'
import { startServices } from '../../server/services.ts'
import type { Services } from '../../server/services.ts'
import { createSampleConnections } from './sample-connections.ts'
import type { SampleConnection, SampleGrant } from './sample-connections.ts'

/** Longer ago than any last use: a running broker would have swept older grants. */
const TOKEN_LIFETIME_SECONDS = 365 * 86_400

/** Connections per transaction, for others that use the store meanwhile. */
const BATCH_SIZE = 2000
/** The indexes are in random order: each transaction writes most of their pages. */
const LARGE_BATCH_SIZE = 50_000

/** The apps and their shares of all connections. */
const APP_SHARES: Record<string, number> = {
  'Web map': 0.6,
  'Mobile map': 0.5,
  'Desktop GIS': 0.3,
  'Nightly export': 0.02,
  'Pilot project': 0.0002,
}

/** The access token of a connection that is not revoked. */
export const sampleAccessToken = (id: string): string => `access ${id} `.padEnd(700, 'x')

/**
 * Fills the store of `services`. The tokens are sealed with its vault, so that swaps work.
 * @returns the added apps
 */
export async function fill(
  services: Pick<Services, 'vault' | 'apps' | 'config' | 'clock'>,
  count: number,
  batchSize = BATCH_SIZE,
): Promise<App[]> {
  const apps: App[] = []
  for (const [index, name] of Object.keys(APP_SHARES).entries()) {
    const redirectUris = [`https://app${index}.example.com/`]
    const settings = {
      ...appDefaults,
      name,
      redirectUris,
      tokenLifetimeSeconds: TOKEN_LIFETIME_SECONDS,
    }
    const { app } = await services.apps.add(settings, 'cli')
    apps.push(app)
  }
  const client = new Database(join(services.config.dataDir, 'broker.db'), { timeout: 5000 })
  // Durability is not needed: after a power loss, fill again.
  client.pragma('synchronous = OFF')
  // All of a million connections. A smaller cache writes each page many times, and what a statement's triggers change
  // would be written to a temporary file first.
  client.pragma('cache_size = -6000000')
  client.pragma('temp_store = MEMORY')
  const write = prepareWrites(client, services)
  const sampleConnection = createSampleConnections({
    now: services.clock.now(),
    count,
    shares: Object.values(APP_SHARES),
  })
  const batch = client.transaction((from: number, to: number) => {
    for (let index = from; index < to; index++) write(sampleConnection(index), apps)
  })
  for (let from = 0; from < count; from += batchSize) {
    batch.immediate(from, Math.min(from + batchSize, count))
    await new Promise(setImmediate)
  }
  client.pragma('wal_checkpoint(TRUNCATE)')
  client.exec('analyze')
  client.close()
  return apps
}

function prepareWrites(client: Database.Database, { vault }: Pick<Services, 'vault'>) {
  const addSealed = client.prepare('insert into sealed (size, free, bytes) values (?, 0, ?)')
  const insert = (table: string, columns: string[]) =>
    client.prepare(
      `insert into ${table} (${columns.join()}) values (${columns.map((name) => `@${name}`).join()})`,
    )
  const addConnection = insert('connections', [
    ...['id', 'account_id', 'username', 'name_key', 'status', 'generation', 'refresh_token'],
    ...['access_token', 'access_token_expires_at', 'access_token_fetched_at', 'failures'],
    ...['last_error', 'retry_at', 'connected_at', 'refreshed_at', 'last_used_at', 'revoked_at'],
    'erased_at',
  ])
  const addGrant = insert('grants', [
    ...['id', 'app_id', 'connection_id', 'scope', 'jti', 'issued_at_seconds'],
    ...['expires_at_seconds', 'device', 'created_at', 'last_used_at', 'revoked_at'],
  ])
  const addEvent = insert('events', [
    ...['at', 'actor', 'action', 'connection_id', 'app_id', 'grant_id', 'address', 'details'],
  ])

  const seal = (bytes: Sealed): number | bigint =>
    addSealed.run(bytes.length, bytes).lastInsertRowid
  const sealToken = (id: string, column: string, text: string) =>
    seal(vault.seal(`connections/${id}/${column}`, new Secret(text)))

  const writeConnection = (connection: SampleConnection): void => {
    const { id, tokensUntil: until, revokedAt } = connection
    const isRevoked = revokedAt !== null
    addConnection.run({
      id,
      account_id: connection.accountId,
      username: connection.username,
      name_key: fold(connection.username),
      status: connection.status,
      generation: 3,
      refresh_token: isRevoked ? null : sealToken(id, 'refresh_token', `refresh ${id}`),
      access_token: isRevoked ? null : sealToken(id, 'access_token', sampleAccessToken(id)),
      access_token_expires_at: isRevoked ? null : until,
      access_token_fetched_at: isRevoked ? null : until - 3_600_000,
      failures: connection.status === 'needs_reconnect' ? 3 : 0,
      last_error:
        connection.status === 'needs_reconnect'
          ? 'Ellipsis Drive refused the refresh token.'
          : null,
      retry_at: null,
      connected_at: connection.connectedAt,
      refreshed_at: until - 3_600_000,
      last_used_at: connection.lastUsedAt,
      revoked_at: revokedAt,
      erased_at: revokedAt,
    })
  }

  const writeGrant = (connection: SampleConnection, grant: SampleGrant, app: App): void => {
    const issuedAtSeconds = Math.floor(grant.createdAt / 1000)
    addGrant.run({
      id: grant.id,
      app_id: app.id,
      connection_id: connection.id,
      scope: 'projects',
      jti: grant.jti,
      issued_at_seconds: issuedAtSeconds,
      expires_at_seconds: Math.floor(connection.lastUsedAt / 1000) + app.tokenLifetimeSeconds,
      device: grant.device,
      created_at: grant.createdAt,
      last_used_at: connection.lastUsedAt,
      revoked_at: connection.revokedAt,
    })
  }

  return (connection: SampleConnection, apps: App[]): void => {
    writeConnection(connection)
    const event = { connection_id: connection.id, address: connection.address }
    const [first] = connection.grants
    const firstApp = first && apps[first.app]
    addEvent.run({
      ...event,
      at: connection.connectedAt,
      actor: 'user',
      action: 'connection.connected',
      app_id: firstApp?.id,
      grant_id: null,
      details: first?.device,
    })
    for (const grant of connection.grants) {
      const app = apps[grant.app]
      /* c8 ignore next -- the app of each grant exists */
      if (!app) continue
      writeGrant(connection, grant, app)
      addEvent.run({
        ...event,
        at: grant.createdAt,
        actor: 'app',
        action: 'grant.begun',
        app_id: app.id,
        grant_id: grant.id,
        details: grant.device,
      })
    }
  }
}

/* c8 ignore start -- only for benchmarks; tests call fill */
/** Fills a new data directory. */
export async function fillDirectory(directory: string, count: number): Promise<void> {
  const env = {
    ELLIPSIS_CLIENT_ID: 'fill',
    ELLIPSIS_CLIENT_SECRET: 'fill',
    BROKER_PUBLIC_URL: 'http://127.0.0.1:3000',
    BROKER_DATA_DIR: directory,
  }
  const config = loadConfig(env, { serve: true })
  const services = await startServices(config, createLog(config))
  await fill(services, count, LARGE_BATCH_SIZE)
  await services.stop()
}
/* c8 ignore stop */
