/**
 * Fills a store with connections as a large host has them: a fifth not used for months, some in need of
 * reconnecting, three grants each over five apps of very different size.
 */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { App, Sealed } from '../../db/store.ts'
import { fold } from '../../db/fold.ts'
import { loadConfig } from '../../server/config/config.ts'
import { appDefaults } from '../../server/oauth/apps.ts'
import { createLog } from '../../server/log.ts'
import { Secret } from '../../server/secret.ts'
import { startServices } from '../../server/services.ts'
import type { Services } from '../../server/services.ts'
import { createPeople } from './people.ts'
import type { Person, PlannedGrant } from './people.ts'

/** Seconds. Longer than anybody's last use is ago: a broker that ran all the time has swept the rest. */
const LIFETIME = 365 * 86_400

/** Rows a transaction. */
const BATCH = 2000

/** The apps, and which share of all connections each has. */
export const SHARES: Record<string, number> = {
  'Web map': 0.6,
  'Mobile map': 0.5,
  'Desktop GIS': 0.3,
  'Nightly export': 0.02,
  'Pilot project': 0.0002,
}

/** Fills the store under `services`, whose vault seals: what is filled in can be swapped. */
export async function fill(
  services: Pick<Services, 'vault' | 'apps' | 'config' | 'clock'>,
  count: number,
): Promise<App[]> {
  const apps: App[] = []
  for (const [index, name] of Object.keys(SHARES).entries()) {
    const redirectUris = [`https://app${index}.example.com/`]
    const settings = { ...appDefaults, name, redirectUris, tokenLifetimeSeconds: LIFETIME }
    const { app } = await services.apps.add(settings, 'cli')
    apps.push(app)
  }
  const client = new Database(join(services.config.dataDir, 'broker.db'), { timeout: 5000 })
  // Whoever loses power here fills anew.
  client.pragma('synchronous = OFF')
  client.pragma('cache_size = -500000')
  const write = prepareWrites(client, services)
  const people = createPeople({ now: services.clock.now(), count, shares: Object.values(SHARES) })
  const batch = client.transaction((from: number, to: number) => {
    for (let index = from; index < to; index++) write(people(index), apps)
  })
  for (let from = 0; from < count; from += BATCH) {
    batch.immediate(from, Math.min(from + BATCH, count))
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

  const writeConnection = (person: Person): void => {
    const { id, tokensUntil: until, revokedAt } = person
    const gone = revokedAt !== null
    addConnection.run({
      id,
      account_id: person.accountId,
      username: person.username,
      name_key: fold(person.username),
      status: person.status,
      generation: 3,
      refresh_token: gone ? null : sealToken(id, 'refresh_token', `refresh ${id}`),
      access_token: gone ? null : sealToken(id, 'access_token', `access ${id} `.padEnd(700, 'x')),
      access_token_expires_at: gone ? null : until,
      access_token_fetched_at: gone ? null : until - 3_600_000,
      failures: person.status === 'needs_reconnect' ? 3 : 0,
      last_error:
        person.status === 'needs_reconnect' ? 'Ellipsis Drive refused the refresh token.' : null,
      retry_at: null,
      connected_at: person.connectedAt,
      refreshed_at: until - 3_600_000,
      last_used_at: person.lastUsedAt,
      revoked_at: revokedAt,
      erased_at: revokedAt,
    })
  }

  const writeGrant = (person: Person, grant: PlannedGrant, app: App): void => {
    const issued = Math.floor(grant.createdAt / 1000)
    addGrant.run({
      id: grant.id,
      app_id: app.id,
      connection_id: person.id,
      scope: 'projects',
      jti: grant.jti,
      issued_at_seconds: issued,
      expires_at_seconds: Math.floor(person.lastUsedAt / 1000) + app.tokenLifetimeSeconds,
      device: grant.device,
      created_at: grant.createdAt,
      last_used_at: person.lastUsedAt,
      revoked_at: person.revokedAt,
    })
  }

  return (person: Person, apps: App[]): void => {
    writeConnection(person)
    const event = { connection_id: person.id, address: person.address }
    const [first] = person.grants
    const app = first && apps[first.app]
    addEvent.run({
      ...event,
      at: person.connectedAt,
      actor: 'user',
      action: 'connection.connected',
      app_id: app?.id,
      grant_id: null,
      details: first?.device,
    })
    for (const grant of person.grants) {
      const app = apps[grant.app]
      /* c8 ignore next -- every grant is of one of them */
      if (!app) continue
      writeGrant(person, grant, app)
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

/* c8 ignore start -- by hand; the tests fill a broker of their own */
/** Fills a directory that nothing else uses. */
export async function fillDirectory(directory: string, count: number): Promise<void> {
  const env = {
    ELLIPSIS_CLIENT_ID: 'fill',
    ELLIPSIS_CLIENT_SECRET: 'fill',
    BROKER_PUBLIC_URL: 'http://127.0.0.1:3000',
    BROKER_DATA_DIR: directory,
  }
  const config = loadConfig(env, { serve: true })
  const services = await startServices(config, createLog(config))
  await fill(services, count)
  await services.stop()
}
/* c8 ignore stop */
