import type { Event, Millis, NewEvent } from '../model.ts'

/** Which events; a field that is `null` matches everything. */
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
  /** Cursors of the neighbouring pages; `null`: no such page. */
  newer: string | null
  older: string | null
  /**
   * Matches are rare, and the search stopped at this time to stay short: the page is not full, and `older`
   * may have more. `null`: the search was complete.
   */
  searchedTo: Millis | null
}

/** The audit log: who did what to what. Append-only. */
export interface EventStore {
  addEvents(events: NewEvent[]): Promise<void>
  /**
   * A page of the events that match, the newest first; events of the same time in the order of their ids.
   * @param query.filter fields that are left out match everything
   * @param query.cursor `newer` or `older` of another page; left out, `null` or invalid: the newest page
   */
  listEvents(query: {
    filter?: Partial<EventFilter>
    cursor?: string | null
    limit: number
  }): Promise<EventPage>
}
