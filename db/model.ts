/** The records that a store keeps. Times are milliseconds since the epoch unless a name ends in `Seconds`. */

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
  /** `required`: its broker tokens are bound to a key of its own (RFC 9449); `optional`: the app decides. */
  dpop: 'optional' | 'required'
  createdAt: Millis
}

export type ConnectionStatus = 'active' | 'needs_reconnect' | 'revoked'

/**
 * Why a connection's refresh token may be out of date. `answer_lost`: a refresh ended without its answer
 * being stored, and upstream may have given a new token in it.
 */
export type Doubt = 'answer_lost'

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
  /** When the erasure of a revoked key was complete; `null`: pending, or not revoked. */
  erasedAt: Millis | null
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

/** Page of a listing by id, ascending. */
export interface Page {
  /** Exclusive; `null`: from the beginning. */
  after: string | null
  limit: number
}
