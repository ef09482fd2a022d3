import type { EventFilter, EventPage, Store } from '../../db/store.ts'

/** The audit log. */
export interface Events {
  /** One page, with the usernames of its connections by connection id. */
  browse(query: {
    filter: EventFilter
    /** Of another page; `null`: the latest. */
    cursor: string | null
    limit: number
  }): Promise<EventPage & { usernames: Map<string, string> }>
}

export function createEvents({ store }: { store: Store }): Events {
  return {
    async browse(query) {
      const page = await store.listEvents(query)
      const ids = page.rows.flatMap(({ connectionId }) => connectionId ?? [])
      return { ...page, usernames: await store.getUsernames(ids) }
    },
  }
}
