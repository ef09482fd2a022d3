import type { Grant, Hash, Link, Millis, NewEvent, SwapState } from '../model.ts'

/** A link, and whose it is. Its secret is known only to those who have its URL. */
export type ListedLink = Omit<Link, 'secretHash'> & Pick<Grant, 'appId' | 'connectionId'>

/** What every request with a link reads. */
export interface LinkState extends Omit<SwapState, 'keyStatus'> {
  link: Pick<Link, 'id' | 'path' | 'isPrefix' | 'expiresAt'>
}

/** Read-only URLs to parts of users' drives. A link is deleted with its grant, and when a person is erased. */
export interface LinkStore {
  /**
   * Adds a link, unless its grant is unknown or revoked (`ended`), or the grant's app has `max` links on the
   * connection already when this one is created (`full`). Expired links, and links of ended grants, do not count.
   */
  addLink(
    link: Link,
    options: { max: number; events: NewEvent[] },
  ): Promise<'added' | 'ended' | 'full'>
  getLink(id: string): Promise<ListedLink | undefined>
  /** Those of a connection, or of one app on it, that have not ended, nor their grants; the newest first. */
  listLinks(filter: { connectionId: string; appId?: string; now: Millis }): Promise<ListedLink[]>
  /** Deletes a link; it ends with that. `false`: there is no such link. */
  deleteLink(id: string, events: NewEvent[]): Promise<boolean>
  /** Everything that a request with the link is decided on, as of now. `undefined`: no such link. */
  getLinkState(secretHash: Hash): Promise<LinkState | undefined>
}
