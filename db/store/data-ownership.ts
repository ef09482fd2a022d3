import type { Grant, NewEvent } from '../model.ts'

/** What moves connections in, or to another client or API of Ellipsis Drive. */
export interface DataOwnershipStore {
  /**
   * Tells whose connection it is, of one that was stored before that was known. `false`: there is none
   * that isn't revoked, or another unrevoked one holds that account.
   */
  identifyConnection(connection: {
    id: string
    accountId: string | null
    username: string
  }): Promise<boolean>
  /** Removes a revoked connection ahead of the sweep. `false`: its erasure is pending, or there is none. */
  removeConnection(id: string): Promise<boolean>
  /** Begins a grant without a code. `false`: there is one with that id, or no unrevoked connection. */
  addGrant(grant: Grant, events: NewEvent[]): Promise<boolean>
  /**
   * Some of the connections after an id (`null`: from the beginning), `limit` at most, aren't what they
   * were: they need reconnecting, with `reason` told. `toOtherApi`: accounts there are others, so that they
   * lose their account and their tokens, which are overwritten. Answers the last id; `null`: that was all.
   */
  markConnectionsForReconnect(batch: {
    after: string | null
    limit: number
    toOtherApi: boolean
    reason: string
  }): Promise<string | null>
}
