/**
 * The Store contract: what the domain needs of a database, whichever engine it is.
 *
 * Rules that every engine keeps (test/db/contract.ts tests them):
 * - One method is one transaction: after a crash all of it happened, or none.
 * - A promise that resolved means that the change survives the loss of power, unless the method says otherwise.
 *   Leases need not, as no holder outlives it.
 * - Methods that compare first (`before`, `expected…`, `owner`, `jti`) change nothing and return `false` if the
 *   comparison fails; they never throw for a lost race.
 * - Times are milliseconds since the epoch unless a name ends in `Seconds`. Ids are opaque strings.
 * - Sealed values come from the vault and go back to it; the store never sees a token.
 * - `events` given to a method are written in its transaction, and only if the change took place.
 */

import type { AssociatedData } from './associated-data.ts'
import type { App, Millis, NewEvent, Sealed, SigningKey } from './model.ts'
import type { AdminStore, SessionStore } from './store/admins.ts'
import type { AuthorizationStore, GrantStore } from './store/authorization.ts'
import type { BulkStore } from './store/bulk.ts'
import type { ConnectionStore } from './store/connections.ts'
import type { EventStore } from './store/events.ts'
import type { LinkStore } from './store/links.ts'
import type { PasskeyStore } from './store/passkeys.ts'
import type { RefreshStore } from './store/refresh.ts'
import type { UsageStore } from './store/usage.ts'
import type { OutboxStore, WebhookStore } from './store/webhooks.ts'

export type * from './associated-data.ts'
export type { EventType, PublicAction } from './event-types.ts'
export type * from './model.ts'
export type * from './store/admins.ts'
export type * from './store/authorization.ts'
export type * from './store/bulk.ts'
export type * from './store/connections.ts'
export type * from './store/events.ts'
export type * from './store/links.ts'
export type * from './store/passkeys.ts'
export type * from './store/refresh.ts'
export type * from './store/usage.ts'
export type * from './store/webhooks.ts'

export interface Store
  extends
    AppStore,
    AuthorizationStore,
    GrantStore,
    LinkStore,
    ConnectionStore,
    RefreshStore,
    BulkStore,
    AdminStore,
    PasskeyStore,
    SessionStore,
    EventStore,
    WebhookStore,
    OutboxStore,
    UsageStore,
    SigningKeyStore,
    SealedStore,
    UpkeepStore {}

export interface AppStore {
  addApp(app: App, events: NewEvent[]): Promise<void>
  getApp(id: string): Promise<App | undefined>
  listApps(): Promise<App[]>
  /**
   * Replaces an app that is still as it was read (`before`). `after` `null` removes it with its codes and
   * device codes; its grants are refused from then on. `false`: it was changed or removed since.
   */
  updateApp(before: App, after: App | null, events: NewEvent[]): Promise<boolean>
  /**
   * Does any app register this origin?
   * @param query.anyPortOf an origin without a port, of which any port counts too; `null`: none
   * @param query.session only apps with this kind of session; omitted: any
   */
  hasOrigin(query: {
    origin: string
    anyPortOf: string | null
    session?: App['session']
  }): Promise<boolean>
  /** Revokes grants of removed apps, on at most `limit` connections. Returns on how many; 0: all is done. */
  revokeGrantsOfRemovedApps(bounds: { now: Millis; limit: number }): Promise<number>
}

export interface SigningKeyStore {
  /** The oldest first. */
  listSigningKeys(): Promise<SigningKey[]>
  /**
   * Replaces the set of keys, if it is still as it was read (`before`): adds new ones, updates changed ones,
   * deletes those that are missing. The private key of a stored key never changes, but it is overwritten
   * with zeros once the key becomes `revoked`. `false`: the set was changed since.
   */
  replaceSigningKeys(
    before: SigningKey[],
    after: SigningKey[],
    events: NewEvent[],
  ): Promise<boolean>
}

export interface SealedValue {
  /** Names the value to the store; opaque. */
  key: string
  /** What the vault has bound it to. */
  associatedData: AssociatedData
  sealed: Sealed
}

/** All sealed values, for checking and changing encryption keys. */
export interface SealedStore {
  /**
   * The values after a key (`null`: from the beginning), `limit` at most. None: there are no more; a page may be
   * short. The zeros of a revoked signing key are listed too.
   */
  listSealed(page: { after: string | null; limit: number }): Promise<SealedValue[]>
  /**
   * Replaces values by others, unless another writer has changed them since they were read.
   * Returns how many were replaced.
   */
  reseal(values: { key: string; expected: Sealed; sealed: Sealed }[]): Promise<number>
}

/** Rows that a sweep deleted. */
export interface SweptRows {
  codes: number
  deviceCodes: number
  links: number
  grants: number
  connections: number
  events: number
}

export interface UpkeepStore {
  /** Facts about the data as a whole, such as its owner; few keys, and some may be the engine's own. */
  getMeta(): Promise<Record<string, string>>
  setMeta(entries: Record<string, string>): Promise<void>
  /**
   * Deletes up to `limit` rows that have ended: expired codes and used states (used codes and device codes are kept
   * `keepUsedMs` milliseconds, so that a second use is noticed), expired sessions, links that expired, grants that expired or were
   * revoked and connections that were revoked before `endedBefore` (not while their erasure is pending), bulk
   * revocations that ended before it, events and usage before `eventsBefore`, deliveries that were created before `endedBefore`, and all of webhooks that were removed. Events that are not
   * delivered yet stay, with their deliveries. Cancels bulk revocations that
   * were not confirmed for a day, and deletes what cancelled ones had collected. Unused device codes go five minutes after their end. Keeps grants of offline apps, unless they were revoked before `endedBefore`, until the app's grant lifetime is over:
   * their `expiresAtSeconds` becomes `now`, so that the next sweeps do not read them again.
   * @returns `more`: the limit was reached; call it again
   */
  sweep(bounds: {
    now: Millis
    keepUsedMs: number
    endedBefore: Millis
    eventsBefore: Millis
    limit: number
  }): Promise<SweptRows & { more: boolean }>
  /**
   * Returns some free space of the store to the file system, without blocking; what new data soon needs stays.
   * @returns `true`: there is more to return; call it again
   */
  releaseSpace(): Promise<boolean>
  /**
   * Completes the erasure of overwritten bytes, without blocking: removes what the engine still has of them,
   * then marks up to `limit` revoked connections, and the revoked signing keys, as erased.
   * @param options.connectionId only that connection is marked
   * @returns `more`: call it again to mark the rest; `blocked`: somebody reads the old bytes, try again later
   */
  purge(options: {
    now: Millis
    limit: number
    connectionId?: string
  }): Promise<'done' | 'more' | 'blocked'>
  /** Are there revoked connections or signing keys that are not marked as erased? */
  isErasurePending(): Promise<boolean>
  /** Can the store be written to, and is it still the one that was opened? @throws the reason if not */
  checkWritable(): Promise<void>
  /** Commits writes in progress and closes the store; no method may be called afterwards. */
  close(): Promise<void>
}
