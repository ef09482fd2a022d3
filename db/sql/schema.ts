/**
 * The tables on SQLite. Properties have the names of the contract's fields (db/store.ts), columns the same in
 * snake_case. After a change: `npm run db:generate`, and commit the migration that it writes.
 */
import { sql, type SQL } from 'drizzle-orm'
import {
  blob,
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
  type AnySQLiteColumn,
} from 'drizzle-orm/sqlite-core'
import type { EventType } from '../event-types.ts'
import { MAX_AUTOMATIC_RETRIES } from '../model.ts'
import type { AccessPolicy, AppSecret, ConnectionFilter } from '../store.ts'

/** Milliseconds since the epoch. */
const millis = () => integer()
const flag = () => integer({ mode: 'boolean' })
const json = <T>() => text({ mode: 'json' }).$type<T>()

/**
 * The sealed values of all tables. A row is never deleted and never changes its size (it is zeroed, and reused
 * later), so SQLite never moves it to another page: there is one copy of its bytes to overwrite. In other
 * tables, a page that is split or merged leaves copies of its rows behind, which `secure_delete` doesn't see.
 * `free` is 0 or 1, which take no space of their own in a record.
 */
export const sealed = sqliteTable(
  'sealed',
  {
    id: integer().primaryKey(),
    size: integer().notNull(),
    free: flag().notNull(),
    bytes: blob().$type<Uint8Array>().notNull(),
  },
  (table) => [
    index('sealed_free')
      .on(table.size)
      .where(sql`${table.free} = 1`),
  ],
)

/** The id of a sealed value. */
const sealedId = () => integer().references(() => sealed.id)

export const meta = sqliteTable('meta', {
  key: text().primaryKey(),
  value: text().notNull(),
})

export const apps = sqliteTable('apps', {
  id: text().primaryKey(),
  name: text().notNull(),
  confidential: flag().notNull(),
  secrets: json<AppSecret[]>().notNull(),
  redirectUris: json<string[]>().notNull(),
  origins: json<string[]>().notNull(),
  trusted: flag().notNull(),
  tokenLifetimeSeconds: integer().notNull(),
  deliver: text({ enum: ['code', 'fragment'] }).notNull(),
  tokens: text({ enum: ['broker', 'ellipsis'] }).notNull(),
  createdAt: millis().notNull(),
  device: flag().notNull().default(false),
  dpop: text({ enum: ['optional', 'required'] })
    .notNull()
    .default('optional'),
  grantLifetimeSeconds: integer(),
  access: text({ enum: ['token', 'proxy'] })
    .notNull()
    .default('token'),
  readOnly: flag().notNull().default(false),
  allow: json<string[]>().notNull().default([]),
  session: text({ enum: ['token', 'cookie'] })
    .notNull()
    .default('token'),
  requestsPerMinute: integer(),
  requestsPerDay: integer(),
  offline: flag().notNull().default(false),
  par: text({ enum: ['optional', 'required'] })
    .notNull()
    .default('optional'),
  jwks: text(),
  jwksUri: text(),
})

const MAX_RETRIES = sql.raw(String(MAX_AUTOMATIC_RETRIES))

function isRetried(table: Record<'retryAt' | 'failures' | 'status', AnySQLiteColumn>): SQL {
  return sql`${table.retryAt} is not null and ${table.failures} < ${MAX_RETRIES} and ${table.status} <> 'revoked'`
}

export const connections = sqliteTable(
  'connections',
  {
    id: text().primaryKey(),
    accountId: text(),
    username: text().notNull(),
    status: text({ enum: ['active', 'needs_reconnect', 'revoked'] }).notNull(),
    generation: integer().notNull(),
    refreshToken: sealedId(),
    previousRefreshToken: sealedId(),
    accessToken: sealedId(),
    accessTokenExpiresAt: millis(),
    accessTokenFetchedAt: millis(),
    leaseOwner: text(),
    leaseUntil: millis(),
    failures: integer().notNull(),
    lastError: text(),
    retryAt: millis(),
    connectedAt: millis().notNull(),
    refreshedAt: millis(),
    revokedAt: millis(),
    erasedAt: millis(),
    /** The key that the name is searched and sorted by: see db/fold.ts. */
    nameKey: text().notNull().default(''),
    lastUsedAt: millis(),
    personErasedAt: millis(),
    restoredFrom: millis(),
    staleReason: text({ enum: ['answer_lost'] }),
    importState: text({ enum: ['pending', 'rejected'] }),
    replacedBy: text(),
    rejections: integer().notNull().default(0),
    /** The sequence number of its last public event. */
    sequence: integer().notNull().default(0),
  },
  (table) => [
    uniqueIndex('connections_account')
      .on(table.accountId)
      .where(sql`${table.status} <> 'revoked'`),
    index('connections_former_account')
      .on(table.accountId)
      .where(sql`${table.status} = 'revoked'`),
    index('connections_status').on(table.status, table.id),
    index('connections_leased')
      .on(table.leaseUntil)
      .where(sql`${table.leaseOwner} is not null`),
    index('connections_retry').on(table.retryAt).where(isRetried(table)),
    index('connections_revoked')
      .on(table.revokedAt)
      .where(sql`${table.revokedAt} is not null`),
    index('connections_erasing')
      .on(table.id)
      .where(sql`${table.revokedAt} is not null and ${table.erasedAt} is null`),
  ],
)

/** Failed, and retried by the broker: the condition of the index, so that SQLite uses it. */
export const retried = isRetried(connections)

const connectionId = () =>
  text()
    .notNull()
    .references(() => connections.id, { onDelete: 'cascade' })

export const grants = sqliteTable(
  'grants',
  {
    id: text().primaryKey(),
    appId: text().notNull(),
    connectionId: connectionId(),
    scope: text().notNull(),
    jti: text().notNull(),
    issuedAtSeconds: integer().notNull(),
    expiresAtSeconds: integer().notNull(),
    jtiUsedAt: millis(),
    previousJti: text(),
    device: text().notNull(),
    createdAt: millis().notNull(),
    lastUsedAt: millis(),
    revokedAt: millis(),
    jkt: text(),
    successorsSinceSeconds: integer(),
    browserHash: text(),
    policy: json<AccessPolicy>(),
    externalId: text(),
  },
  (table) => [
    index('grants_external')
      .on(table.appId, table.externalId, table.id)
      .where(sql`${table.externalId} is not null`),
    index('grants_connection').on(table.connectionId, table.appId),
    index('grants_app').on(table.appId, table.id),
    index('grants_expiry').on(table.expiresAtSeconds),
    index('grants_revoked')
      .on(table.revokedAt)
      .where(sql`${table.revokedAt} is not null`),
  ],
)

/** Hashes of the `state` of flows that have ended, so that each one works once. */
export const usedStates = sqliteTable(
  'used_states',
  {
    stateHash: text().primaryKey(),
    expiresAt: millis().notNull(),
  },
  (table) => [index('used_states_expiry').on(table.expiresAt)],
)

export const codes = sqliteTable(
  'codes',
  {
    codeHash: text().primaryKey(),
    appId: text().notNull(),
    redirectUri: text().notNull(),
    challenge: text().notNull(),
    connectionId: connectionId(),
    scope: text().notNull(),
    device: text().notNull(),
    createdAt: millis().notNull(),
    expiresAt: millis().notNull(),
    usedAt: millis(),
    grantId: text(),
    jkt: text(),
    nonce: text(),
    browserHash: text(),
    policy: json<AccessPolicy>(),
    externalId: text(),
  },
  (table) => [
    index('codes_connection').on(table.connectionId, table.appId),
    index('codes_expiry').on(table.usedAt, table.expiresAt),
  ],
)

export const dpopProofs = sqliteTable(
  'dpop_proofs',
  {
    proofHash: text().primaryKey(),
    expiresAt: millis().notNull(),
  },
  (table) => [index('dpop_proofs_expiry').on(table.expiresAt)],
)

export const deviceCodes = sqliteTable(
  'device_codes',
  {
    deviceCodeHash: text().primaryKey(),
    userCodeHash: text().notNull(),
    appId: text().notNull(),
    scope: text().notNull(),
    device: text().notNull(),
    address: text().notNull(),
    status: text({ enum: ['pending', 'approved', 'denied'] }).notNull(),
    connectionId: text().references(() => connections.id, { onDelete: 'cascade' }),
    intervalSeconds: integer().notNull(),
    polledAt: millis(),
    createdAt: millis().notNull(),
    expiresAt: millis().notNull(),
    usedAt: millis(),
    grantId: text(),
    network: text().notNull().default(''),
    policy: json<AccessPolicy>(),
  },
  (table) => [
    uniqueIndex('device_codes_user').on(table.userCodeHash),
    index('device_codes_connection').on(table.connectionId, table.appId),
    index('device_codes_expiry').on(table.expiresAt),
    index('device_codes_unapproved')
      .on(table.appId, table.network, table.expiresAt)
      .where(sql`${table.status} <> 'approved'`),
  ],
)

/** Read-only URLs to parts of users' drives. */
export const links = sqliteTable(
  'links',
  {
    id: text().primaryKey(),
    secretHash: text().notNull().unique(),
    grantId: text()
      .notNull()
      .references(() => grants.id, { onDelete: 'cascade' }),
    path: text().notNull(),
    isPrefix: flag().notNull(),
    label: text().notNull(),
    createdAt: millis().notNull(),
    expiresAt: millis().notNull(),
    lastUsedAt: millis(),
    uses: integer().notNull().default(0),
  },
  (table) => [
    index('links_grant').on(table.grantId, table.id),
    index('links_expiry').on(table.expiresAt),
  ],
)

export const signingKeys = sqliteTable('signing_keys', {
  kid: text().primaryKey(),
  publicJwk: text().notNull(),
  privateKey: sealedId().notNull(),
  status: text({ enum: ['next', 'active', 'retired', 'revoked'] }).notNull(),
  createdAt: millis().notNull(),
  endedAt: millis(),
  /** When the erasure of a revoked key was complete. */
  erasedAt: millis(),
  activatedAt: millis(),
  tokensUntil: millis(),
  alg: text({ enum: ['EdDSA', 'RS256'] })
    .notNull()
    .default('EdDSA'),
})

export const admins = sqliteTable(
  'admins',
  {
    id: text().primaryKey(),
    email: text().notNull().unique(),
    passwordHash: text().notNull(),
    role: text({ enum: ['admin', 'viewer'] }).notNull(),
    createdAt: millis().notNull(),
    /** The TOTP secret, sealed; only proposed while `secondFactorSince` is null. */
    secondFactor: sealedId(),
    secondFactorSince: millis(),
    /** The last time step whose code was used (RFC 6238 5.2). */
    secondFactorStep: integer(),
    /** Hashes of the unused recovery codes. */
    recoveryCodes: json<string[]>().notNull().default([]),
    /** The account at the identity provider. */
    oidcIssuer: text(),
    oidcSubject: text(),
    oidcLabel: text(),
  },
  (table) => [uniqueIndex('admins_oidc').on(table.oidcIssuer, table.oidcSubject)],
)

export const sessions = sqliteTable(
  'sessions',
  {
    idHash: text().primaryKey(),
    adminId: text()
      .notNull()
      .references(() => admins.id, { onDelete: 'cascade' }),
    createdAt: millis().notNull(),
    lastSeenAt: millis().notNull(),
    expiresAt: millis().notNull(),
    address: text(),
    userAgent: text(),
    /** False between the password and the second factor. */
    complete: flag().notNull().default(true),
    authenticatedAt: millis(),
    /** Of the identity provider that began it. */
    oidcIssuer: text(),
    oidcSubject: text(),
    oidcSid: text(),
  },
  (table) => [
    index('sessions_admin').on(table.adminId),
    index('sessions_expiry').on(table.expiresAt),
  ],
)

/** Public key credentials of admins (Web Authentication). */
export const passkeys = sqliteTable(
  'passkeys',
  {
    /** The credential id, base64url. */
    id: text().primaryKey(),
    adminId: text()
      .notNull()
      .references(() => admins.id, { onDelete: 'cascade' }),
    publicKey: blob().$type<Uint8Array>().notNull(),
    counter: integer().notNull(),
    transports: json<string[]>().notNull(),
    name: text().notNull(),
    createdAt: millis().notNull(),
    lastUsedAt: millis(),
  },
  (table) => [index('passkeys_admin').on(table.adminId)],
)

/** One-time links that create the first admin. */
export const setupLinks = sqliteTable('setup_links', {
  secretHash: text().primaryKey(),
  expiresAt: millis().notNull(),
})

/** Browsers that an admin has signed in with: failed sign-ins of others don't slow these down. */
export const devices = sqliteTable(
  'devices',
  {
    secretHash: text().primaryKey(),
    adminId: text()
      .notNull()
      .references(() => admins.id, { onDelete: 'cascade' }),
    expiresAt: millis().notNull(),
  },
  (table) => [
    index('devices_admin').on(table.adminId),
    index('devices_expiry').on(table.expiresAt),
  ],
)

/**
 * What is counted within a window: sign-in attempts by address, account or device, and requests by app and
 * connection. A row counts until its window ends.
 */
export const attempts = sqliteTable(
  'attempts',
  {
    key: text().primaryKey(),
    count: integer().notNull(),
    until: millis().notNull(),
  },
  (table) => [index('attempts_until').on(table.until)],
)

export const events = sqliteTable(
  'events',
  {
    id: integer().primaryKey({ autoIncrement: true }),
    at: millis().notNull(),
    actor: text().notNull(),
    action: text().notNull(),
    connectionId: text(),
    appId: text(),
    grantId: text(),
    address: text(),
    details: text(),
    sequence: integer(),
  },
  (table) => [
    index('events_connection').on(table.connectionId, table.at),
    index('events_app').on(table.appId, table.at),
    // All actors and actions but the most common ones: see events.ts.
    index('events_actor')
      .on(table.actor, table.at)
      .where(sql`${table.actor} not in ('user', 'app', 'system')`),
    index('events_action')
      .on(table.action, table.at)
      .where(
        sql`${table.action} not in ('connection.connected', 'connection.revoked', 'grant.begun')`,
      ),
    index('events_at').on(table.at),
  ],
)

/** URLs that get events. */
export const webhooks = sqliteTable('webhooks', {
  id: text().primaryKey(),
  url: text().notNull(),
  appId: text(),
  types: json<EventType[]>().notNull(),
  signing: text({ enum: ['v1a', 'v1'] }).notNull(),
  secret: sealedId().notNull(),
  publicKey: text(),
  previousSecret: sealedId(),
  previousSecretUntil: millis(),
  createdAt: millis().notNull(),
  disabledAt: millis(),
  disabledReason: text(),
  afterEventId: integer().notNull(),
})

/** Events on their way to webhooks and other sinks. Of the pending ones of a connection, only the first has `nextAt`. */
export const deliveries = sqliteTable(
  'deliveries',
  {
    id: integer().primaryKey({ autoIncrement: true }),
    sinkId: text().notNull(),
    eventId: integer().notNull(),
    connectionId: text(),
    status: text({ enum: ['pending', 'delivered', 'failed'] }).notNull(),
    attempts: integer().notNull().default(0),
    nextAt: millis(),
    answer: integer(),
    error: text(),
    createdAt: millis().notNull(),
    attemptedAt: millis(),
  },
  (table) => [
    uniqueIndex('deliveries_sink').on(table.sinkId, table.id),
    uniqueIndex('deliveries_event').on(table.eventId, table.sinkId),
    index('deliveries_due')
      .on(table.sinkId, table.nextAt)
      .where(sql`${table.nextAt} is not null`),
    index('deliveries_next')
      .on(table.nextAt)
      .where(sql`${table.nextAt} is not null`),
    index('deliveries_failed')
      .on(table.sinkId, table.id)
      .where(sql`${table.status} = 'failed'`),
    index('deliveries_pending')
      .on(table.sinkId, table.connectionId, table.id)
      .where(sql`${table.status} = 'pending'`),
    index('deliveries_created').on(table.createdAt),
  ],
)

/** One row: the last event that was given to the sinks, and the process that does it. */
export const outbox = sqliteTable('outbox', {
  id: integer().primaryKey(),
  lastEventId: integer().notNull(),
  leaseOwner: text(),
  leaseUntil: millis(),
})

/** `appId` is empty in the counts of all apps together. */
export const usage = sqliteTable(
  'usage',
  {
    appId: text().notNull(),
    hour: millis().notNull(),
    kind: text({ enum: ['swap', 'refresh', 'drive'] }).notNull(),
    outcome: text().notNull(),
    count: integer().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.appId, table.hour, table.kind, table.outcome] }),
    index('usage_hour').on(table.hour),
  ],
)

/** One row: how Ellipsis Drive has answered all processes. */
export const upstreamState = sqliteTable('upstream_state', {
  id: integer().primaryKey(),
  answeredAt: millis(),
  failedAt: millis(),
  failingSince: millis(),
  lastError: text(),
})

/** Bulk revocations. */
export const bulks = sqliteTable(
  'bulks',
  {
    id: integer().primaryKey({ autoIncrement: true }),
    status: text({ enum: ['collecting', 'ready', 'running', 'done', 'cancelled'] }).notNull(),
    filter: json<ConnectionFilter>(),
    actor: text().notNull(),
    address: text(),
    createdAt: millis().notNull(),
    startedAt: millis(),
    endedAt: millis(),
    total: integer().notNull(),
    revoked: integer().notNull(),
    skipped: integer().notNull(),
    failed: integer().notNull(),
    cursor: text(),
    trouble: text(),
    leaseOwner: text(),
    leaseUntil: millis(),
  },
  (table) => [
    index('bulks_work')
      .on(table.id)
      .where(sql`${table.status} in ('collecting', 'running')`),
  ],
)

/** Connections that bulk revocations still have to revoke, or failed to. */
export const bulkItems = sqliteTable(
  'bulk_items',
  {
    bulkId: integer()
      .notNull()
      .references(() => bulks.id),
    connectionId: text().notNull(),
    error: text(),
  },
  (table) => [primaryKey({ columns: [table.bulkId, table.connectionId] })],
)
