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

import type {
  App,
  Code,
  Connection,
  Flow,
  Grant,
  Hash,
  Millis,
  NewEvent,
  NewTokens,
  Page,
  SigningKey,
  SwapState,
} from './model.ts'
import type { AdminStore } from './store/admins.ts'
import type { BulkStore } from './store/bulk.ts'
import type { DeviceCodeStore } from './store/device-codes.ts'
import type { EventStore } from './store/events.ts'
import type { ListingStore } from './store/listing.ts'
import type { ProofStore } from './store/proofs.ts'
import type { RefreshStore } from './store/refresh.ts'
import type { DataOwnershipStore } from './store/data-ownership.ts'
import type { SealedStore } from './store/sealed.ts'
import type { UsageStore } from './store/usage.ts'

export type * from './model.ts'
export type * from './store/admins.ts'
export type * from './store/bulk.ts'
export type * from './store/device-codes.ts'
export type * from './store/events.ts'
export type * from './store/listing.ts'
export type * from './store/proofs.ts'
export type * from './store/refresh.ts'
export type * from './store/data-ownership.ts'
export type * from './store/sealed.ts'
export type * from './store/usage.ts'

/** Runs a piece of long work, such as one transaction, when its turn has come. */
export type Throttle = <T>(piece: () => Promise<T>) => Promise<T>

/** Rows that a sweep removed. */
export interface Swept {
  flows: number
  codes: number
  deviceCodes: number
  grants: number
  connections: number
  events: number
}

export interface Store
  extends
    DataOwnershipStore,
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
    /** A new connection of an import, whose token is yet to be refreshed. */
    importState?: 'pending'
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
  revokeConnection(connection: {
    id: string
    now: Millis
    /** Why an import ends it. */
    why?: { importState: 'rejected' } | { replacedBy: string }
    events: NewEvent[]
  }): Promise<boolean>
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
  purge(now: Millis, options?: { throttle?: Throttle; connectionId?: string }): Promise<boolean>
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
    work?: { throttle?: Throttle; stop?: AbortSignal },
  ): Promise<Swept>
  /**
   * Can it be written to, and is it still the one in its place? Commits something that changes nothing; throws
   * what stands in the way.
   */
  checkWritable(): Promise<void>
  /** Commits the writes under way and closes it; nothing may be called after. */
  close(): Promise<void>
}
