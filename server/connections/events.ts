import type { EventFilter, EventPage, Store } from '../../db/store.ts'

/** The audit log: who did what to what. */
export interface Events {
  /** A page of those that match, with the names of their connections' users by connection id. */
  browse(query: {
    filter: EventFilter
    /** Of another page; `null`: the newest. */
    cursor: string | null
    limit: number
  }): Promise<EventPage & { usernames: Map<string, string> }>
}

export function createEvents({ store }: { store: Store }): Events {
  return {
    async browse(query) {
      const page = await store.listEvents(query)
      const ids = [...new Set(page.rows.flatMap(({ connectionId }) => connectionId ?? []))]
      const connections = await Promise.all(ids.map((id) => store.getConnection(id)))
      const usernames = new Map(connections.flatMap((one) => (one ? [[one.id, one.username]] : [])))
      return { ...page, usernames }
    },
  }
}
