/**
 * The Store contract: what the domain asks of a database, and nothing of how one does it.
 *
 * Rules that every engine keeps (test/db/contract.ts holds them):
 * - One method is one transaction: after a crash all of it happened, or none.
 * - A promise that resolved means that the change survives the loss of power; leases alone needn't,
 *   as no holder outlives it.
 * - Methods that compare first (`expected…`, `owner`, `jti`) change nothing and answer `false` where
 *   the comparison fails; they never throw for a lost race.
 * - Times are milliseconds since the epoch unless a name ends in `Seconds`. Ids are opaque strings.
 * - Sealed values come from the vault and go back to it; the store never sees a token.
 * - `events` given to a method are written in its transaction, and only if the change took place.
 */

import type { AdminStore } from './store/admins.ts'
import type { BulkStore } from './store/bulk.ts'
import type { DeviceCodeStore } from './store/device-codes.ts'
import type { EventStore } from './store/events.ts'
import type { ListingStore } from './store/listing.ts'
import type { ProofStore } from './store/proofs.ts'
import type { Doubt, RefreshStore } from './store/refresh.ts'
import type { MovingStore } from './store/moving.ts'
import type { SealedStore } from './store/sealed.ts'
import type { UsageStore } from './store/usage.ts'

export type * from './store/admins.ts'
export type * from './store/bulk.ts'
export type * from './store/device-codes.ts'
export type * from './store/events.ts'
export type * from './store/listing.ts'
export type * from './store/proofs.ts'
export type * from './store/refresh.ts'
export type * from './store/moving.ts'
export type * from './store/sealed.ts'
export type * from './store/usage.ts'

/** Milliseconds since the epoch. */
export type Millis = number

/** A ciphertext of the vault, bound to `table/row/column`. */
export type Sealed = Uint8Array

/** SHA-256 of a secret, base64url. */
export type Hash = string

/** A live secret of a confidential app; two may overlap while one replaces the other. */
export interface AppSecret {
  hash: Hash
  createdAt: Millis
  /** When it stops being accepted; `null`: never. */
  expiresAt: Millis | null
}

/** A registered program that may ask for tokens; its id is its OAuth `client_id`. */
export interface App {
  id: string
  name: string
  /** Has a back end and a secret (RFC 6749 2.1). */
  confidential: boolean
  /** At most two; empty for public apps. */
  secrets: AppSecret[]
  redirectUris: string[]
  /** Origins allowed to call token, exchange and revoke from a browser. */
  origins: string[]
  /** One of the host's own: skips the asking page where its redirect URI can't be claimed by others. */
  trusted: boolean
  /** Life of a broker token, seconds. */
  tokenLifetimeSeconds: number
  /** `fragment`: Ellipsis Drive's access token in the redirect, for pages without a back end. */
  deliver: 'code' | 'fragment'
  /** `ellipsis`: plain RFC 6749, `access_token` being Ellipsis Drive's. */
  tokens: 'broker' | 'ellipsis'
  /** May be used on devices without a browser (RFC 8628). */
  device: boolean
  /** `required`: its broker tokens are bound to a key of its own (RFC 9449); else as it likes. */
  dpop: 'optional' | 'required'
  createdAt: Millis
}

export type ConnectionStatus = 'active' | 'needs_reconnect' | 'revoked'

/** One connected Ellipsis Drive account, with its one refresh token. */
export interface Connection {
  id: string
  /** Upstream's id of the account; `null` where upstream doesn't tell. Unique among the unrevoked. */
  accountId: string | null
  /** A label, not an identity: names can be recycled. */
  username: string
  status: ConnectionStatus
  /** Raised by every write that replaces or deletes tokens. */
  generation: number
  /** `null` once erased. */
  refreshToken: Sealed | null
  previousRefreshToken: Sealed | null
  accessToken: Sealed | null
  accessTokenExpiresAt: Millis | null
  /** When the call that brought the access token began. */
  accessTokenFetchedAt: Millis | null
  /** Who may refresh now; one that is there after its end was left behind. */
  leaseOwner: string | null
  /** Milliseconds of the steady clock. */
  leaseUntil: Millis | null
  /** Failed refreshes since the last good one. */
  failures: number
  /** What the last failure was, for people; never a secret. */
  lastError: string | null
  /** No refresh before this, unless the connection is renewed. */
  retryAt: Millis | null
  /** `null`: the refresh token is the newest that is known of. */
  doubt: Doubt | null
  /** When the backup was made that its tokens come from; `null`: none, or they have been renewed since. */
  restoredFrom: Millis | null
  connectedAt: Millis
  refreshedAt: Millis | null
  /** To the minute, and some seconds late. */
  lastUsedAt: Millis | null
  revokedAt: Millis | null
  /** When the erasure of a revoked connection's tokens was complete; `null`: pending, or not revoked. */
  erasedAt: Millis | null
  /** When the person was erased from it: name, account, devices, addresses. */
  personErasedAt: Millis | null
}

/** One authorization of one app by one account, on one device. */
export interface Grant {
  id: string
  appId: string
  connectionId: string
  scope: string
  /** The broker token that counts, by its `jti`. */
  jti: string
  /** Thumbprint of the key that its tokens are bound to (RFC 9449 6); `null`: they are bearer tokens. */
  jkt: Hash | null
  /** When that token was signed: its `iat`, seconds since the epoch. */
  issuedAtSeconds: number
  /** When it ends: its `exp`, seconds since the epoch. The grant ends with it unless renewed. */
  expiresAtSeconds: number
  /** When that token was first used; `null`: not yet. */
  jtiUsedAt: Millis | null
  /** The token before it, good until five minutes after the newer one was first used. */
  previousJti: string | null
  /** A label for people, such as "Firefox on Android". */
  device: string
  createdAt: Millis
  lastUsedAt: Millis | null
  revokedAt: Millis | null
}

/** A broker signing key (Ed25519). */
export interface SigningKey {
  kid: string
  /** Public JWK, JSON. */
  publicJwk: string
  /** Private key, PKCS #8 PEM, sealed; nothing but zeros once the key is revoked. */
  privateKey: Sealed
  /** `next` is published and will sign; `active` signs; `retired` still verifies; `revoked` does neither. */
  status: 'next' | 'active' | 'retired' | 'revoked'
  createdAt: Millis
  /** When it began to sign; `null`: not yet, or when it was made. */
  activatedAt: Millis | null
  /** When it left `active`, or was revoked. */
  endedAt: Millis | null
  /** When the last token that it signed has ended; `null`: not known. */
  tokensUntil: Millis | null
}

/** An authorization under way, between the asking page and the callback. */
export interface Flow {
  stateHash: Hash
  /** Hash of the cookie that binds the flow to one browser. */
  browserHash: Hash
  /** The broker's own PKCE verifier towards Ellipsis Drive, sealed under the row `stateHash`. */
  verifier: Sealed
  appId: string
  /** Empty: nowhere, as for an app that has none. */
  redirectUri: string
  /** The app's own state, given back unchanged. */
  appState: string | null
  /** The app's S256 challenge; `null`: nothing is issued (a plain connect link). */
  challenge: string | null
  /** Thumbprint of the key that the app will prove (RFC 9449 10). */
  jkt: Hash | null
  scope: string
  /** Connection that a reconnect link means to renew. */
  reconnect: string | null
  device: string
  /** The device code that a person is answering. */
  deviceCodeHash: Hash | null
  createdAt: Millis
  expiresAt: Millis
}

/** A one-time authorization code of the broker's own. */
export interface Code {
  codeHash: Hash
  appId: string
  redirectUri: string
  challenge: string
  /** Thumbprint of the key that its tokens have to be bound to; `null`: any, or none. */
  jkt: Hash | null
  connectionId: string
  scope: string
  device: string
  createdAt: Millis
  expiresAt: Millis
  usedAt: Millis | null
  /** The grant that it began. */
  grantId: string | null
}

/** What is recorded of who did what to what. Append-only. */
export interface Event {
  id: number
  at: Millis
  /** `user`, `app`, `cli`, `system`, or `admin:<e-mail>`. */
  actor: string
  /** Such as `connection.revoked`. */
  action: string
  connectionId: string | null
  appId: string | null
  grantId: string | null
  /** Network address that it came from. */
  address: string | null
  /** Further words for people; never a secret. */
  details: string | null
}

/** An event to be written; what is left out is `null`. */
export type NewEvent = Pick<Event, 'at' | 'actor' | 'action'> & Partial<Omit<Event, 'id'>>

/** What a swap reads, every time. */
export interface SwapState {
  keyStatus: SigningKey['status'] | null
  grant: Pick<
    Grant,
    | 'id'
    | 'appId'
    | 'connectionId'
    | 'scope'
    | 'jti'
    | 'jkt'
    | 'jtiUsedAt'
    | 'previousJti'
    | 'issuedAtSeconds'
    | 'expiresAtSeconds'
    | 'revokedAt'
  >
  /** `null`: the app was removed. */
  app: Pick<App, 'id' | 'confidential' | 'tokens' | 'tokenLifetimeSeconds' | 'dpop'> | null
  connection: Pick<Connection, 'id' | 'status' | 'generation'>
}

/** Tokens that a writer stores; sealed under the connection's row. */
export interface NewTokens {
  refreshToken: Sealed
  accessToken: Sealed
  accessTokenExpiresAt: Millis
  accessTokenFetchedAt: Millis
}

/** Runs a piece of long work, such as one transaction, when its turn has come. */
export type Pace = <T>(piece: () => Promise<T>) => Promise<T>

/** Rows that a sweep removed. */
export interface Swept {
  flows: number
  codes: number
  deviceCodes: number
  grants: number
  connections: number
  events: number
}

/** Page of a listing by id, ascending. */
export interface Page {
  /** Exclusive; `null`: from the beginning. */
  after: string | null
  limit: number
}

export interface Store
  extends
    MovingStore,
    AdminStore,
    BulkStore,
    DeviceCodeStore,
    EventStore,
    ListingStore,
    ProofStore,
    RefreshStore,
    SealedStore,
    UsageStore {
  // --- meta: schema-independent facts that guard the data ---

  /** All of it; keys are few. */
  getMeta(): Promise<Record<string, string>>
  setMeta(entries: Record<string, string>): Promise<void>

  // --- apps ---

  addApp(app: App, events: NewEvent[]): Promise<void>
  getApp(id: string): Promise<App | undefined>
  listApps(): Promise<App[]>
  /**
   * Replaces the fields of an app that is still as it was read (`before`). `false`: it was changed since,
   * or is gone; nothing changed.
   */
  updateApp(before: App, after: App, events: NewEvent[]): Promise<boolean>
  /** Removes the app, its flows, codes and device codes; with it, its grants mean nothing. `false`: there is none. */
  removeApp(id: string, events: NewEvent[]): Promise<boolean>
  /**
   * Revokes grants of removed apps, on at most `limit` connections. Answers on how many; 0: all is done.
   */
  endRemovedGrants(bounds: { now: Millis; limit: number }): Promise<number>
  /** Does any app register this origin? */
  hasOrigin(origin: string): Promise<boolean>

  // --- authorizations under way ---

  addFlow(flow: Flow): Promise<void>
  /** Takes the flow, once, if it is this browser's and hasn't ended; otherwise changes nothing. */
  takeFlow(
    flow: Pick<Flow, 'stateHash' | 'browserHash'> & { now: Millis },
  ): Promise<Flow | undefined>
  getCode(codeHash: Hash): Promise<Code | undefined>
  /** Uses the code and begins its grant; `false`: it was used before, or has ended. */
  redeemCode(code: {
    codeHash: Hash
    now: Millis
    grant: Grant
    events: NewEvent[]
  }): Promise<boolean>

  // --- connections ---

  getConnection(id: string): Promise<Connection | undefined>
  /** The unrevoked connection of that account. */
  findConnection(accountId: string): Promise<Connection | undefined>
  /** All of them, whole, for whoever has to go through them. */
  listConnections(page: Page): Promise<Connection[]>
  /**
   * Stores the tokens of a completed authorization, and the code that the app will redeem.
   * `expectedGeneration` `null` makes a new connection, of generation 1; a number renews the one with
   * that id: status `active`, failures forgotten, generation raised, the previous refresh token dropped,
   * lease freed. An account id that it had stays where upstream now tells none.
   * `false`: another writer came first (generation moved, revoked, or the account got a connection).
   */
  saveConnection(connection: {
    id: string
    expectedGeneration: number | null
    accountId: string | null
    username: string
    tokens: NewTokens
    now: Millis
    code: Omit<Code, 'usedAt' | 'grantId'> | null
    events: NewEvent[]
  }): Promise<boolean>

  // --- swap ---

  /** Everything a swap decides on, as of now. `undefined`: no such grant. */
  getSwapState(key: { grantId: string; kid: string }): Promise<SwapState | undefined>
  /** Marks the grant's current token as used, if it is still this one and wasn't used before. */
  useJti(use: { grantId: string; jti: string; now: Millis }): Promise<void>
  /**
   * Makes `jti` the grant's token, unused as yet, and `previousJti` the one before it. `false`:
   * `expectedJti` isn't current, or the grant was revoked.
   */
  renewGrant(renewal: {
    grantId: string
    expectedJti: string
    previousJti: string
    jti: string
    issuedAtSeconds: number
    expiresAtSeconds: number
  }): Promise<boolean>

  // --- revoke ---

  getGrant(id: string): Promise<Grant | undefined>
  listGrants(filter: { connectionId: string } | ({ appId: string } & Page)): Promise<Grant[]>
  /** `false`: there is none, or it was revoked before. */
  revokeGrant(grant: { id: string; now: Millis; events: NewEvent[] }): Promise<boolean>
  /** Revokes the grants of one app on one connection, and its unredeemed codes and device codes. Answers how many grants. */
  revokeAppGrants(grants: {
    connectionId: string
    appId: string
    now: Millis
    events: NewEvent[]
  }): Promise<number>
  /**
   * Ends the connection: status `revoked`, generation raised, sealed fields overwritten in place and
   * then dropped, codes removed, grants revoked, lease freed. `false`: there is none, or it was
   * revoked before. The bytes are gone for good once `purge` has answered `true`.
   */
  revokeConnection(connection: { id: string; now: Millis; events: NewEvent[] }): Promise<boolean>
  /**
   * Revokes the connection, unless it is revoked already, and removes whose it was: account, username, the
   * devices of its grants, and the address and details of events that its user and the apps caused.
   * `false`: there is none, or that was done before.
   */
  eraseConnection(connection: { id: string; now: Millis; events: NewEvent[] }): Promise<boolean>
  /**
   * Drops what the engine still keeps of overwritten bytes (write-ahead log), without blocking, and
   * marks revoked connections and signing keys as erased: some of them a `pace`, and the rest of very many
   * at the next call; or that connection alone. `false`: something holds it; try again.
   */
  purge(now: Millis, options?: { pace?: Pace; connectionId?: string }): Promise<boolean>
  /** Are there revoked connections or signing keys whose erasure is pending? */
  isErasurePending(): Promise<boolean>

  // --- signing keys ---

  listSigningKeys(): Promise<SigningKey[]>
  /**
   * Adds a key; if it is `active`, what was active becomes `retired`. `false`: it is to be `next`, and
   * there is one.
   */
  addSigningKey(key: SigningKey, events: NewEvent[]): Promise<boolean>
  /**
   * The `next` key signs from `now` on, what was active becomes `retired`, and `following` is `next`.
   * `false`: the active key is another than expected (`null`: none), or there is no next one.
   */
  rotateSigningKeys(rotation: {
    expectedActive: string | null
    following: SigningKey
    now: Millis
    events: NewEvent[]
  }): Promise<boolean>
  /** Remembers that the key has signed a token that lives until then, if none lives longer. */
  noteTokensUntil(signed: { kid: string; until: Millis }): Promise<void>
  /**
   * `false`: there is none, or it was revoked before. The sealed private key is overwritten. Where it was the
   * active one, the next one is at once, told by the event `activated` with its id.
   */
  revokeSigningKey(key: {
    kid: string
    now: Millis
    events: NewEvent[]
    activated?: Omit<NewEvent, 'details'>
  }): Promise<boolean>
  /** Removes a key that is retired, or revoked and erased. `false`: it is neither. */
  removeSigningKey(key: { kid: string; events: NewEvent[] }): Promise<boolean>

  // --- upkeep ---

  /**
   * Removes what has ended, a small batch a `pace`: flows and codes past their end (used codes and device codes
   * are kept `usedFor` milliseconds, so that a second use is noticed), sessions past their end, grants that were
   * revoked or expired and connections that were revoked before `endedBefore` (none whose erasure is
   * pending), bulk revocations that ended before it or wait unconfirmed for a day, events and usage
   * before `eventsBefore`. Leaves the rest to the next sweep once it is told to `stop`.
   */
  sweep(
    bounds: { now: Millis; usedFor: number; endedBefore: Millis; eventsBefore: Millis },
    work?: { pace?: Pace; stop?: AbortSignal },
  ): Promise<Swept>
  /**
   * Can it be written to, and is it still the one in its place? Commits something that changes nothing; throws
   * what stands in the way.
   */
  checkWritable(): Promise<void>
  /** Commits the writes under way and closes it; nothing may be called after. */
  close(): Promise<void>
}
