import type {
  App,
  Code,
  Connection,
  ConnectionStatus,
  DeviceCode,
  Event,
  Grant,
  Millis,
  NewEvent,
  NewTokens,
  Passkey,
  Sealed,
  SecondFactor,
  SigningKey,
  Store,
  SweptRows,
} from '../../db/store.ts'
import { addKey } from '../../server/crypto/key-set.ts'

/** The time of these tests, milliseconds. */
export const NOW = Date.UTC(2026, 6, 1)

/** A stand-in for a ciphertext: of a length that the vault uses, with a mark to find it by. */
export const seal = (mark: string, size = 357): Sealed => Buffer.alloc(size, `${mark}|`)

export const newTokens = (mark: string, accessSize?: number): NewTokens => ({
  refreshToken: seal(`refresh ${mark}`),
  accessToken: seal(`access ${mark}`, accessSize),
  accessTokenExpiresAt: NOW + 3_600_000,
  accessTokenFetchedAt: NOW,
})

export const newApp = (id: string, fields: Partial<App> = {}): App => ({
  id,
  name: `App ${id}`,
  confidential: false,
  secrets: [],
  redirectUris: ['https://app.example/callback'],
  origins: [],
  trusted: false,
  tokenLifetimeSeconds: 2_592_000,
  grantLifetimeSeconds: null,
  deliver: 'code',
  tokens: 'broker',
  device: false,
  dpop: 'optional',
  access: 'token',
  readOnly: false,
  allow: [],
  session: 'token',
  requestsPerMinute: null,
  requestsPerDay: null,
  offline: false,
  par: 'optional',
  jwks: null,
  jwksUri: null,
  createdAt: NOW,
  ...fields,
})

export const newCode = (
  codeHash: string,
  fields: Partial<Code> = {},
): Omit<Code, 'usedAt' | 'grantId'> => ({
  codeHash,
  appId: 'app',
  redirectUri: 'https://app.example/callback',
  challenge: 'challenge',
  nonce: null,
  jkt: null,
  connectionId: 'con',
  scope: 'projects',
  device: 'Firefox on Linux',
  browserHash: null,
  policy: null,
  externalId: null,
  createdAt: NOW,
  expiresAt: NOW + 60_000,
  ...fields,
})

export const newGrant = (id: string, fields: Partial<Grant> = {}): Grant => ({
  id,
  appId: 'app',
  connectionId: 'con',
  scope: 'projects',
  jti: `jti of ${id}`,
  jkt: null,
  issuedAtSeconds: NOW / 1000,
  expiresAtSeconds: NOW / 1000 + 2_592_000,
  jtiUsedAt: null,
  previousJti: null,
  successorsSinceSeconds: null,
  device: 'Firefox on Linux',
  browserHash: null,
  policy: null,
  externalId: null,
  createdAt: NOW,
  lastUsedAt: null,
  revokedAt: null,
  ...fields,
})

export const newSigningKey = (kid: string, fields: Partial<SigningKey> = {}): SigningKey => ({
  kid,
  alg: 'EdDSA',
  publicJwk: `{"kid":"${kid}"}`,
  privateKey: seal(`key ${kid}`),
  status: 'active',
  createdAt: NOW,
  activatedAt: null,
  endedAt: null,
  erasedAt: null,
  tokensUntil: null,
  ...fields,
})

/** One event, found again by its action. */
export const event = (action: string, fields: Partial<Event> = {}) => [
  { at: NOW, actor: 'system', action, ...fields },
]

/** The actions of all events, in the order of their times. */
export const actions = async (store: Store): Promise<string[]> =>
  (await store.listEvents({ limit: 1000 })).rows.map(({ action }) => action).reverse()

/** Adds a connection, of generation 1. */
export async function connect(
  store: Store,
  id = 'con',
  fields: Partial<Parameters<Store['saveConnection']>[0]> = {},
): Promise<boolean> {
  return store.saveConnection({
    id,
    expectedGeneration: null,
    accountId: `account of ${id}`,
    username: `user of ${id}`,
    tokens: newTokens(id),
    now: NOW,
    code: null,
    events: [],
    ...fields,
  })
}

/** Begins a grant with a code, as an app does. The connection must exist. */
export async function begin(store: Store, grant: Grant): Promise<void> {
  const { id, appId, connectionId } = grant
  const { generation, username } = (await store.getConnection(connectionId)) ?? {}
  const code = newCode(`code of ${id}`, { appId, connectionId })
  await connect(store, connectionId, {
    expectedGeneration: generation ?? null,
    ...(username !== undefined && { username }),
    code,
  })
  await store.addGrant(grant, { source: { codeHash: code.codeHash }, now: NOW, events: [] })
}

/** Changes the signing keys as they are now. `false`: there is nothing to change. */
export async function updateSigningKeys(
  store: Store,
  change: (keys: SigningKey[]) => SigningKey[] | null,
  events: NewEvent[] = [],
): Promise<boolean> {
  const before = await store.listSigningKeys()
  const after = change(before)
  return after !== null && store.replaceSigningKeys(before, after, events)
}

export const addSigningKey = (store: Store, key: SigningKey, events: NewEvent[] = []) =>
  updateSigningKeys(store, (keys) => addKey(keys, key), events)

/** `false`: there is no such app. */
export async function removeApp(store: Store, id: string, events: NewEvent[]): Promise<boolean> {
  const app = await store.getApp(id)
  return app !== undefined && store.updateApp(app, null, events)
}

/** Sweeps until nothing is left to delete. */
export async function sweep(
  store: Store,
  bounds: Omit<Parameters<Store['sweep']>[0], 'limit'>,
): Promise<SweptRows> {
  const swept = { codes: 0, deviceCodes: 0, links: 0, grants: 0, connections: 0, events: 0 }
  for (let hasMore = true; hasMore;) {
    const { more, ...rows } = await store.sweep({ ...bounds, limit: 100 })
    for (const [kind, count] of Object.entries(rows)) swept[kind as keyof SweptRows] += count
    hasMore = more
  }
  return swept
}

/** Completes all pending erasures, or that of one connection; `false`: something is in the way. */
export async function purge(store: Store, now: Millis, connectionId?: string): Promise<boolean> {
  const options = { now, limit: 100, ...(connectionId !== undefined && { connectionId }) }
  let outcome = await store.purge(options)
  while (outcome === 'more') outcome = await store.purge(options)
  return outcome === 'done'
}

/** Gives an admin a confirmed second factor, which replaces a proposed one. */
export async function addSecondFactor(
  store: Store,
  adminId: string,
  fields: Partial<SecondFactor> = {},
): Promise<void> {
  const before = (await store.getSecondFactor(adminId)) ?? null
  const secret = before?.secret ?? seal('second factor')
  const factor = { secret, since: NOW, lastStep: 1, recoveryCodes: [], ...fields }
  await store.updateSecondFactor(adminId, before, factor, [])
}

export const newPasskey = (id: string, fields: Partial<Passkey> = {}): Passkey => ({
  id,
  adminId: 'ada',
  publicKey: Buffer.from(`key of ${id}`),
  counter: 0,
  transports: ['internal'],
  name: `Passkey ${id}`,
  createdAt: NOW,
  lastUsedAt: null,
  ...fields,
})

/** All connections with all fields, by id. */
export async function listConnections(store: Store): Promise<Connection[]> {
  const statuses: ConnectionStatus[] = ['active', 'needs_reconnect', 'revoked']
  const found: Connection[] = []
  let cursor: string | null = null
  do {
    const filter = { search: null, statuses, appId: null }
    const page: Awaited<ReturnType<Store['walkConnections']>> = await store.walkConnections(
      filter,
      cursor,
    )
    const rows = await Promise.all(page.rows.map(({ id }) => store.getConnection(id)))
    found.push(...rows.filter((row) => row !== undefined))
    cursor = page.next
  } while (cursor !== null)
  return found.sort((one, other) => (one.id < other.id ? -1 : 1))
}

/** A grant of an app on a connection that is active. */
export async function findGrant(store: Store, appId: string): Promise<Grant | undefined> {
  const filter = { search: null, statuses: ['active' as const], appId: null }
  const { rows } = await store.walkConnections(filter, null)
  const grants = await Promise.all(rows.map(({ id }) => store.listGrants(id)))
  return grants.flat().find((grant) => grant.appId === appId)
}

export const newDeviceCode = (id: string, fields: Partial<DeviceCode> = {}): DeviceCode => ({
  deviceCodeHash: id,
  userCodeHash: `user of ${id}`,
  appId: 'app',
  scope: 'projects',
  device: 'A device',
  address: '192.0.2.1',
  status: 'pending',
  connectionId: null,
  intervalSeconds: 5,
  polledAt: null,
  createdAt: NOW,
  expiresAt: NOW + 900_000,
  usedAt: null,
  grantId: null,
  network: '192.0.2.1',
  policy: null,
  ...fields,
})
