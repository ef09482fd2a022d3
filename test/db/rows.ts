import type { App, Code, Event, Flow, Grant, NewTokens, Sealed, Store } from '../../db/store.ts'

/** The hour at which these tests play, milliseconds. */
export const NOW = Date.UTC(2026, 6, 1)

/** A stand-in for a ciphertext: a length that the vault uses, and a mark to find it by. */
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
  deliver: 'code',
  tokens: 'broker',
  device: false,
  dpop: 'optional',
  createdAt: NOW,
  ...fields,
})

export const newFlow = (stateHash: string, fields: Partial<Flow> = {}): Flow => ({
  stateHash,
  browserHash: 'browser',
  verifier: seal(`verifier ${stateHash}`),
  appId: 'app',
  redirectUri: 'https://app.example/callback',
  appState: 'state',
  challenge: 'challenge',
  jkt: null,
  scope: 'projects',
  reconnect: null,
  device: 'Firefox on Linux',
  deviceCodeHash: null,
  createdAt: NOW,
  expiresAt: NOW + 600_000,
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
  jkt: null,
  connectionId: 'con',
  scope: 'projects',
  device: 'Firefox on Linux',
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
  device: 'Firefox on Linux',
  createdAt: NOW,
  lastUsedAt: null,
  revokedAt: null,
  ...fields,
})

/** One event, to be found again by its action. */
export const event = (action: string, fields: Partial<Event> = {}) => [
  { at: NOW, actor: 'system', action, ...fields },
]

/** Which events were written, in their order. */
export const actions = async (store: Store): Promise<string[]> =>
  (await store.listEvents({ limit: 1000 })).map(({ action }) => action).reverse()

/** Makes a connection, of generation 1. */
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

/** Begins a grant, by way of a code as an app does. The connection has to be there. */
export async function begin(store: Store, grant: Grant): Promise<void> {
  const { id, appId, connectionId } = grant
  const { generation, username } = (await store.getConnection(connectionId)) ?? {}
  const code = newCode(`code of ${id}`, { appId, connectionId })
  await connect(store, connectionId, {
    expectedGeneration: generation ?? null,
    ...(username !== undefined && { username }),
    code,
  })
  await store.redeemCode({ codeHash: code.codeHash, now: NOW, grant, events: [] })
}
