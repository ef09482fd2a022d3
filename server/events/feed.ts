import type { EventType, Store } from '../../db/store.ts'
import type { Message } from './message.ts'

/** The events, for those who poll. */
export interface Feed {
  /**
   * A page of events after a cursor, in the order in which they happened. Nothing is missed or seen twice by who
   * continues with `next`, or with the id of the last event when `next` is `null`.
   * @param query.after id of an event, or `next` of another page; `null`: from the beginning
   * @param query.appId only events that concern this app, without those of others; `null`: all
   * @returns `next`: continue there, even if the page has fewer events than the limit; `null`: there are no more
   *   at present
   * @throws BrokerError `invalid_request` if the cursor is none
   */
  list(query: {
    after: string | null
    appId: string | null
    connectionId?: string | null
    types?: EventType[]
    limit: number
  }): Promise<{ events: Message[]; next: string | null }>
  /** The cursor of the newest event; `null`: there is none. */
  newest(): Promise<string | null>
}

export function createFeed(_deps: { store: Store }): Feed {
  throw new Error('not written yet')
}
