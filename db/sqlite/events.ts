import { and, desc, eq, lt } from 'drizzle-orm'
import { events } from './schema.ts'
import type { EventStore, NewEvent } from '../store.ts'
import type { Engine } from './engine.ts'
import { prepareEventPages } from './event-pages.ts'

/** Writes events within the transaction under way. */
export function insertEvents({ db }: Pick<Engine, 'db'>, list: NewEvent[]): void {
  if (list.length > 0) db.insert(events).values(list).run()
}

export function eventMethods(engine: Engine): EventStore {
  const { db, read, write } = engine
  return {
    addEvents: (list) => write(() => insertEvents(engine, list)),

    browseEvents: prepareEventPages(engine),

    listEvents: ({ connectionId, appId, before, limit }) =>
      read(() =>
        db
          .select()
          .from(events)
          .where(
            and(
              connectionId === undefined ? undefined : eq(events.connectionId, connectionId),
              appId === undefined ? undefined : eq(events.appId, appId),
              before === undefined ? undefined : lt(events.id, before),
            ),
          )
          .orderBy(desc(events.id))
          .limit(limit)
          .all(),
      ),
  }
}
