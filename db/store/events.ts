import type { EventType } from '../event-types.ts'
import type { Event, Millis, NewEvent, PublicEvent } from '../model.ts'

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

/** The audit log: who did what to what. Append-only. Ids increase in the order of commits; some may be left out. */
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
  /**
   * Public events after one, in the order in which they were committed. Reads a bounded number of events.
   * @param query.after id of an event; 0: from the beginning
   * @param query.appId only events that concern this app; `null`: all
   * @param query.types only these types; empty: all
   * @returns `readTo`: the id of the last event that was read, from where the next call continues;
   *   `isEnd`: there are no more at present
   */
  listPublicEvents(query: {
    after: number
    appId: string | null
    connectionId?: string | null
    types?: EventType[]
    limit: number
  }): Promise<{ events: PublicEvent[]; readTo: number; isEnd: boolean }>
  getPublicEvent(id: number): Promise<PublicEvent | undefined>
  /** When any event happened; `null`: there is no such event, or it was deleted. */
  timeOfEvent(id: number): Promise<Millis | null>
  /** The highest id of the events that are stored and of those that were given to the sinks; 0: none. */
  lastEventId(): Promise<number>
  /** The highest id of the events before a time; 0: no such event. */
  lastEventBefore(time: Millis): Promise<number>
  /**
   * Records the state of something that the broker watches, such as whether Ellipsis Drive is down. `false`: it
   * is recorded as that already, by whichever process, and no event is written.
   */
  setCondition(condition: { name: string; isOn: boolean; events: NewEvent[] }): Promise<boolean>
}
