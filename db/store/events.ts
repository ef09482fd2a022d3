import type { Event, Millis, NewEvent } from '../model.ts'

/** Which events; `null`: whatever it is. */
export interface EventFilter {
  /** As it is in the event, such as `admin:ann@example.com`. */
  actor: string | null
  action: string | null
  appId: string | null
  connectionId: string | null
  /** Inclusive. */
  from: Millis | null
  /** Exclusive. */
  to: Millis | null
}

/** A page of events, the newest first. */
export interface EventPage {
  rows: Event[]
  /** Cursors of the pages beside it; `null`: there is none. */
  newer: string | null
  older: string | null
  /**
   * The page is not full, as matches are rare and the search was ended here so as not to take long; there
   * may be more at `older`. `null`: there are no more.
   */
  searchedTo: Millis | null
}

/** What is recorded of who did what to what. Append-only. */
export interface EventStore {
  addEvents(events: NewEvent[]): Promise<void>
  /** As they were written, the last first. `before`: exclusive id. */
  listEvents(filter: {
    connectionId?: string
    appId?: string
    before?: number
    limit: number
  }): Promise<Event[]>
  /**
   * A page of those that match.
   * @param query.cursor `newer` or `older` of another page; `null`, or one that means nothing: the newest
   */
  browseEvents(query: {
    filter: EventFilter
    cursor: string | null
    limit: number
  }): Promise<EventPage>
}
