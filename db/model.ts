/** The records that a store keeps. Times are milliseconds since the epoch unless a name ends in `Seconds`. */

import type { EventType, PublicAction } from './event-types.ts'

/** Milliseconds since the epoch. */
export type Millis = number

/** A ciphertext of the vault, bound to its associated data (db/associated-data.ts). */
export type Sealed = Uint8Array

/** SHA-256 of a secret, base64url. */
export type Hash = string

/** A secret of a confidential app; two may be valid while one replaces the other. */
export interface AppSecret {
  hash: Hash
  createdAt: Millis
  /** When it stops being accepted; `null`: never. */
  expiresAt: Millis | null
}

/** What an app may do at Ellipsis Drive on behalf of a user. */
export interface AccessPolicy {
  /** `token`: the app gets access tokens; `proxy`: it sends its requests through `/drive`, and gets none. */
  access: 'token' | 'proxy'
  /** Only requests that read. */
  readOnly: boolean
  /** If there are any, only requests that match one of these rules: `METHOD /path/pattern`. */
  allow: string[]
}

/** A registered OAuth client; its id is its `client_id`. */
export interface App extends AccessPolicy {
  id: string
  name: string
  /** A confidential client, with a secret (RFC 6749 2.1). */
  confidential: boolean
  /** At most two; empty for public apps. */
  secrets: AppSecret[]
  redirectUris: string[]
  /** Origins that may call token, exchange and revoke from a browser (CORS). */
  origins: string[]
  /** An app of the host: no consent page if no other program can claim its redirect URI. */
  trusted: boolean
  /** Lifetime of a broker token, seconds. */
  tokenLifetimeSeconds: number
  /** How long a grant lasts from its beginning, renewed or not, seconds; `null`: as long as it is renewed. */
  grantLifetimeSeconds: number | null
  /** `fragment`: Ellipsis Drive's access token in the redirect URI's fragment, for pages without a back end. */
  deliver: 'code' | 'fragment'
  /** `ellipsis`: plain RFC 6749, where `access_token` is Ellipsis Drive's. */
  tokens: 'broker' | 'ellipsis'
  /** May use the device flow (RFC 8628). */
  device: boolean
  /** `required`: its broker tokens are bound to a key of the app (RFC 9449); `optional`: the app decides. */
  dpop: 'optional' | 'required'
  /**
   * `cookie`: the broker keeps the broker token in a cookie of its own, for an app in a browser on the same site
   * (RFC 10017, backend for frontend).
   */
  session: 'token' | 'cookie'
  /** Proxied requests of all its users together; `null`: no limit. */
  requestsPerMinute: number | null
  requestsPerDay: number | null
  /** May get tokens of its users without them: confidential apps only. */
  offline: boolean
  /** `required`: authorization requests must be pushed (RFC 9126). */
  par: 'optional' | 'required'
  /** Public keys that it authenticates with (RFC 7523), a JWK Set as JSON; `null`: none. */
  jwks: string | null
  /** Where those keys are published; `null`: nowhere. */
  jwksUri: string | null
  createdAt: Millis
}

export type ConnectionStatus = 'active' | 'needs_reconnect' | 'revoked'

/**
 * Why a connection's refresh token may be out of date. `answer_lost`: the answer to a refresh was not stored,
 * and upstream may have issued a new token in it.
 */
export type StaleReason = 'answer_lost'

/**
 * After so many failed refreshes in a row, only a use of the connection causes another one. Part of an index:
 * a change takes a migration.
 */
export const MAX_AUTOMATIC_RETRIES = 30

/** One connected Ellipsis Drive account, with its one refresh token. */
export interface Connection {
  id: string
  /** Upstream's id of the account; `null`: upstream doesn't tell. Unique among unrevoked connections. */
  accountId: string | null
  /** A label, not an identity: upstream may reassign names. */
  username: string
  status: ConnectionStatus
  /** Incremented by every write that replaces or deletes tokens. */
  generation: number
  /** `null` once erased. */
  refreshToken: Sealed | null
  previousRefreshToken: Sealed | null
  accessToken: Sealed | null
  accessTokenExpiresAt: Millis | null
  /** When the call that returned the access token started. */
  accessTokenFetchedAt: Millis | null
  /** Holder of the lease; after its end, it was not released. */
  leaseOwner: string | null
  /** How long the lease lasted when the row was read, by the store's clock; negative: since when it has ended. */
  leaseRemainingMs: number | null
  /** Failed refreshes since the last successful one. */
  failures: number
  /** How many of these failures were rejections by Ellipsis Drive. */
  rejections: number
  /** What the last failure was, for people; never a secret. */
  lastError: string | null
  /** Earliest time of the next refresh, unless the connection is renewed. */
  retryAt: Millis | null
  /** `null`: the refresh token is the newest one that was issued, as far as is known. */
  staleReason: StaleReason | null
  /** When the backup was made that its tokens come from; `null`: from no backup, or renewed since. */
  restoredFrom: Millis | null
  /**
   * Of an imported connection: `pending` until a refresh has worked; `rejected` if the import ended it, so that
   * its token may be imported again. `null`: its tokens work, or were never imported.
   */
  importState: 'pending' | 'rejected' | null
  /** The connection of the same account that took its place; `null`: none did. */
  replacedBy: string | null
  connectedAt: Millis
  refreshedAt: Millis | null
  /** Accurate to the minute, and written some seconds late. */
  lastUsedAt: Millis | null
  revokedAt: Millis | null
  /** When the erasure of a revoked connection's tokens was complete; `null`: pending, or not revoked. */
  erasedAt: Millis | null
  /** When personal data was erased: name, account, devices, addresses. */
  personErasedAt: Millis | null
}

/** One authorization of one app by one account, on one device. */
export interface Grant {
  id: string
  appId: string
  connectionId: string
  scope: string
  /** The `jti` of the current broker token. */
  jti: string
  /** Thumbprint of the key that its tokens are bound to (RFC 9449 6); `null`: they are bearer tokens. */
  jkt: Hash | null
  /** When that token was signed: its `iat`, seconds since the epoch. */
  issuedAtSeconds: number
  /**
   * When it expires: its `exp`, seconds since the epoch. The grant ends with it unless renewed. The grant of an
   * offline app does not: once this is long past, the sweep moves it.
   */
  expiresAtSeconds: number
  /** When that token was first used; `null`: not yet. */
  jtiUsedAt: Millis | null
  /** The `jti` before it, accepted until five minutes after the current one was first used. */
  previousJti: string | null
  /**
   * If the previous token got several successors: when the first of them was issued, seconds since the epoch.
   * The current token is the newest of them; the first that is used becomes the current one. `null`: there is
   * only one.
   */
  successorsSinceSeconds: number | null
  /** A label for people, such as "Firefox on Android". */
  device: string
  /**
   * Equal for the grants of one app that began in one browser (server/connections/devices.ts); `null`: in none,
   * or unknown.
   */
  browserHash: Hash | null
  /**
   * What the user allowed: the grant is for what both this and the app's policy allow. `null`: everything.
   */
  policy: AccessPolicy | null
  /** The app's own id of the user; `null`: none. */
  externalId: string | null
  createdAt: Millis
  lastUsedAt: Millis | null
  revokedAt: Millis | null
}

/** A signing key of the broker: `EdDSA` (Ed25519) signs broker tokens, `RS256` signs ID tokens. */
export interface SigningKey {
  kid: string
  alg: 'EdDSA' | 'RS256'
  /** Public JWK, JSON. */
  publicJwk: string
  /** Private key, PKCS #8 PEM, sealed; zeros once the key is revoked. */
  privateKey: Sealed
  /** `next`: published, will sign; `active`: signs; `retired`: still verifies; `revoked`: neither. */
  status: 'next' | 'active' | 'retired' | 'revoked'
  createdAt: Millis
  /** When it started to sign; `null`: not yet, or when it was created. */
  activatedAt: Millis | null
  /** When it left `active`, or was revoked. */
  endedAt: Millis | null
  /** When the erasure of a revoked key was complete; `null`: pending, or not revoked. */
  erasedAt: Millis | null
  /** When the last token that it signed expires; `null`: unknown. */
  tokensUntil: Millis | null
}

/** An authorization code of the broker. */
export interface Code {
  codeHash: Hash
  appId: string
  redirectUri: string
  /** Empty: none, for a confidential app that sent a `nonce` instead. */
  challenge: string
  /** For the ID token; `null`: none was sent. */
  nonce: string | null
  /** Thumbprint of the key that its tokens must be bound to; `null`: any key, or none. */
  jkt: Hash | null
  connectionId: string
  scope: string
  device: string
  /** For the grant. */
  browserHash: Hash | null
  policy: AccessPolicy | null
  externalId: string | null
  createdAt: Millis
  expiresAt: Millis
  usedAt: Millis | null
  /** The grant that it began. */
  grantId: string | null
}

/** A read-only URL to one part of a user's drive. */
export interface Link {
  id: string
  secretHash: Hash
  /** The grant that it was made with, and ends with. */
  grantId: string
  /** Path at Ellipsis Drive's API, normalised, with its placeholders. */
  path: string
  /** Does it give access to everything below the path? */
  isPrefix: boolean
  /** For people. */
  label: string
  createdAt: Millis
  expiresAt: Millis
  /** Accurate to the minute, and written some seconds late, as `uses`. */
  lastUsedAt: Millis | null
  uses: number
}

/** An entry of the audit log. */
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
  /** Network address of the request. */
  address: string | null
  /** Details for people; never a secret. */
  details: string | null
  /**
   * Of a public event (event-types.ts) with a connection: counts those of the connection, from 1. `null`:
   * another event, or the connection is gone.
   */
  sequence: number | null
}

/**
 * An event to be written; missing fields are `null`. A public event of a grant gets the grant's app and connection,
 * unless it names others.
 */
export type NewEvent = Pick<Event, 'at' | 'actor' | 'action'> &
  Partial<Omit<Event, 'id' | 'sequence'>>

/** A public event, with what receivers of one app need. */
export interface PublicEvent extends Omit<Event, 'action'> {
  action: PublicAction
  /** The app's own id of the user of the event's grant. */
  externalId: string | null
  /**
   * Apps that the event concerns. Of an event of a grant: the grant's. Of a connection's: the event's own, and those
   * that had grants at the time, as far as they are still stored. Of its erasure: those with any grant on it. Of
   * others: none.
   */
  appIds: string[]
}

/** A URL that gets events. */
export interface Webhook {
  id: string
  url: string
  /** Only events of this app's grants and their connections; `null`: all events. */
  appId: string | null
  /** Only these types; empty: all. */
  types: EventType[]
  /** Standard Webhooks: Ed25519 (`v1a`) or HMAC-SHA-256 (`v1`). */
  signing: 'v1a' | 'v1'
  /** The key that signs: `v1a` the private key, `v1` the shared secret. */
  secret: Sealed
  /** Of `v1a`: the public key, base64. */
  publicKey: string | null
  /** Signs too until `previousSecretUntil`, so that receivers can change keys. */
  previousSecret: Sealed | null
  previousSecretUntil: Millis | null
  createdAt: Millis
  disabledAt: Millis | null
  /** For people: who or what disabled it. */
  disabledReason: string | null
  /** It gets the events after this one: the last before it was added or enabled. */
  afterEventId: number
}

/** One event for one sink. */
export interface Delivery {
  /** Increases in the order of the events, except for replays. */
  id: number
  /** The id of a webhook, or `COMMAND_SINK_ID`. */
  sinkId: string
  eventId: number
  connectionId: string | null
  /** `failed`: given up, after all attempts or because the endpoint was disabled. */
  status: 'pending' | 'delivered' | 'failed'
  /** Attempts that were made. */
  attempts: number
  /** Of a pending delivery, when it is due; `null`: it waits for an earlier event of its connection. */
  nextAt: Millis | null
  /** HTTP status or exit code of the last attempt; `null`: no answer. */
  answer: number | null
  /** Why the last attempt failed, for people. */
  error: string | null
  createdAt: Millis
  attemptedAt: Millis | null
}

/** What every swap reads. */
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
    | 'successorsSinceSeconds'
    | 'issuedAtSeconds'
    | 'expiresAtSeconds'
    | 'createdAt'
    | 'revokedAt'
    | 'policy'
  >
  /** `null`: the app was removed. */
  app: Pick<
    App,
    | 'id'
    | 'confidential'
    | 'tokens'
    | 'tokenLifetimeSeconds'
    | 'grantLifetimeSeconds'
    | 'dpop'
    | 'requestsPerMinute'
    | 'requestsPerDay'
    | 'session'
    | 'offline'
    | 'secrets'
    | keyof AccessPolicy
  > | null
  connection: Pick<Connection, 'id' | 'status' | 'generation'>
}

/** New tokens of a connection, sealed. */
export interface NewTokens {
  refreshToken: Sealed
  accessToken: Sealed
  accessTokenExpiresAt: Millis
  accessTokenFetchedAt: Millis
}
