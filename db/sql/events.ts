import { setImmediate } from 'node:timers/promises'
import { eq, sql } from 'drizzle-orm'
import { isPublicAction } from '../event-types.ts'
import { connections, events, grants, meta } from './schema.ts'
import type { Event, EventFilter, EventPage, EventStore, Millis, NewEvent } from '../store.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { Engine } from './engine.ts'
import { publicEventMethods } from './public-events.ts'

/** Writes events within the current transaction, after the change that they tell of. */
export function insertEvents(
  { db, orderEvents }: Pick<Engine, 'db' | 'orderEvents'>,
  list: NewEvent[],
): void {
  if (list.length === 0) return
  const complete = list.map((event) => toPublic(db, event))
  orderEvents()
  db.insert(events).values(complete).run()
}

/** Adds what receivers need to a public event: app and connection of its grant, and a sequence number. */
function toPublic(db: Engine['db'], event: NewEvent): NewEvent & Pick<Partial<Event>, 'sequence'> {
  if (!isPublicAction(event.action)) return event
  const { grantId = null } = event
  const { appId, connectionId } = grants
  const grant =
    grantId === null
      ? undefined
      : db.select({ appId, connectionId }).from(grants).where(eq(grants.id, grantId)).get()
  const complete = { ...grant, ...event }
  if (complete.connectionId === undefined || complete.connectionId === null) return complete
  const counted = db
    .update(connections)
    .set({ sequence: sql`${connections.sequence} + 1` })
    .where(eq(connections.id, complete.connectionId))
    .returning({ sequence: connections.sequence })
    .get()
  return { ...complete, ...counted }
}

export function eventMethods(engine: Engine): EventStore {
  return {
    addEvents: (list) => engine.write(() => insertEvents(engine, list)),
    listEvents: prepareEventPages(engine),
    ...publicEventMethods(engine),

    setCondition: async ({ name, isOn, events }) => {
      const { db } = engine
      const [key, value] = [`condition_${name}`, isOn ? 'on' : 'off']
      const isKnown = () =>
        (db.select().from(meta).where(eq(meta.key, key)).get()?.value ?? 'off') === value
      // Every process asks every few seconds: only a change is a write transaction.
      if (await engine.read(isKnown)) return false
      return engine.write(() => {
        if (isKnown()) return false
        const target = meta.key
        db.insert(meta).values({ key, value }).onConflictDoUpdate({ target, set: { value } }).run()
        insertEvents(engine, events)
        return true
      })
    },
  }
}

/** Events read first, which is enough for common filters; then at a time; and at most for one page. */
const FIRST_BATCH = 200
const NEXT_BATCH = 2000
const MAX_READ = 40_000

/** Too common for an index: they are found soon anyway. The indexes leave them out. */
const COMMON_ACTORS = "actor not in ('user', 'app', 'system')"
const COMMON_ACTIONS = "action not in ('connection.connected', 'connection.revoked', 'grant.begun')"

const COLUMNS = `events.id as id, at, actor, action, connection_id as connectionId, app_id as appId,
  grant_id as grantId, address, details, sequence`

const ANY_EVENT: EventFilter = {
  actor: null,
  action: null,
  appId: null,
  connectionId: null,
  from: null,
  to: null,
}

/** A position among events: after one, or before it (`back`). */
interface Position {
  at: Millis
  id: number
  back: boolean
}

/** Conditions that one index answers, and those that its rows are checked against. */
interface Conditions {
  indexed: string
  others: string
}

/**
 * Prepares the reading of pages of events in the order of their times. One condition is answered by an index,
 * the others are checked on its rows, a few thousand at a time: a search with few matches blocks nothing.
 */
function prepareEventPages({ client, read }: Pick<Engine, 'client' | 'read'>) {
  type Found = Position & { matches: 0 | 1 }
  type Query = Parameters<EventStore['listEvents']>[0]

  /** The next events in one direction, and whether they match. */
  const look = (conditions: Conditions, filter: EventFilter, position: Position, limit: number) => {
    const { indexed, others } = conditions
    const [comparison, direction] = position.back ? ['>', 'asc'] : ['<', 'desc']
    const query = `select id, at, ${others} as matches from events
      where ${indexed} and at >= @from and at < @to and (at, id) ${comparison} (@fromAt, @fromId)
      order by at ${direction}, id ${direction} limit ${limit}`
    const bounds = { from: filter.from ?? 0, to: filter.to ?? Number.MAX_SAFE_INTEGER }
    const values = { ...filter, ...bounds, fromAt: position.at, fromId: position.id }
    return client.prepare<[object], Found>(query).all(values)
  }

  /** As many matches as wanted, and where the search stopped; `null`: it was complete. */
  const search = async (filter: EventFilter, position: Position, wanted: number) => {
    const conditions = conditionsOf(filter)
    const hits: Found[] = []
    let from = position
    for (let batch = FIRST_BATCH, count = 0; count < MAX_READ; count += batch, batch = NEXT_BATCH) {
      const found = await read(() => look(conditions, filter, from, batch))
      hits.push(...found.filter(({ matches }) => matches === 1))
      if (hits.length >= wanted) return { hits: hits.slice(0, wanted), ended: null }
      const last = found.at(-1)
      if (!last || found.length < batch) return { hits, ended: null }
      from = { ...last, back: position.back }
      await setImmediate()
    }
    return { hits, ended: from }
  }

  const fetch = async (ids: number[]): Promise<Event[]> => {
    if (ids.length === 0) return []
    return read(() =>
      client
        .prepare<[string], Event>(
          `select ${COLUMNS} from json_each(?) cross join events on events.id = cast(value as bigint)
          order by at desc, events.id desc`,
        )
        .all(JSON.stringify(ids)),
    )
  }

  return async ({ filter, cursor = null, limit }: Query): Promise<EventPage> => {
    const position = parseCursor(cursor)
    const { hits, ended } = await search({ ...ANY_EVENT, ...filter }, position ?? newest, limit + 1)
    const back = position?.back === true
    const more = hits.length > limit
    const shown = hits.slice(0, limit)
    const rows = await fetch(shown.map(({ id }) => id))
    const [first, last] = [rows[0], rows.at(-1)]
    const beyond = ended && toCursor(ended, back)
    const newer = first && (back ? more : position !== null) ? toCursor(first, true) : null
    const older = last && (back || more) ? toCursor(last, false) : null
    return {
      rows,
      newer: back ? (newer ?? beyond) : newer,
      older: back ? older : (older ?? beyond),
      searchedTo: ended && ended.at,
    }
  }
}

const newest: Position = { at: Number.MAX_SAFE_INTEGER, id: 0, back: false }

/** The condition with the fewest rows comes first; only that one is answered by an index. */
function conditionsOf({ connectionId, actor, appId, action }: EventFilter): Conditions {
  const isRare = (value: string | null, common: string) =>
    value !== null && !common.includes(`'${value}'`)
  const conditions = [
    ...(connectionId === null ? [] : ['connection_id = @connectionId']),
    ...(isRare(actor, COMMON_ACTORS) ? [`actor = @actor and ${COMMON_ACTORS}`] : []),
    ...(isRare(action, COMMON_ACTIONS) ? [`action = @action and ${COMMON_ACTIONS}`] : []),
    ...(appId === null ? [] : ['app_id = @appId']),
    ...(actor === null || isRare(actor, COMMON_ACTORS) ? [] : ["actor || '' = @actor"]),
    ...(action === null || isRare(action, COMMON_ACTIONS) ? [] : ["action || '' = @action"]),
  ]
  const [first = 'true', ...others] = conditions
  const unindexed = others.map((condition) => `(${condition})`).join(' and ')
  return first.includes('||')
    ? { indexed: 'true', others: conditions.join(' and ') }
    : { indexed: first, others: unindexed || '1' }
}

const toCursor = ({ at, id }: Pick<Position, 'at' | 'id'>, back: boolean): string =>
  encodeCursor(back, at, id)

function parseCursor(cursor: string | null): Position | null {
  const decoded = decodeCursor(cursor)
  if (!decoded || typeof decoded.second === 'string') return null
  return { back: decoded.isBackward, at: decoded.first, id: decoded.second }
}
