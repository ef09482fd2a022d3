import { setImmediate } from 'node:timers/promises'
import { events } from './schema.ts'
import type { Event, EventFilter, EventPage, EventStore, Millis, NewEvent } from '../store.ts'
import type { Engine } from './engine.ts'

/** Writes events within the current transaction. */
export function insertEvents({ db }: Pick<Engine, 'db'>, list: NewEvent[]): void {
  if (list.length > 0) db.insert(events).values(list).run()
}

export function eventMethods(engine: Engine): EventStore {
  return {
    addEvents: (list) => engine.write(() => insertEvents(engine, list)),
    listEvents: prepareEventPages(engine),
  }
}

/** Events looked at first, as what is common is among them; then in one go; and for one page. */
const FIRST = 200
const AT_ONCE = 2000
const IN_ALL = 40_000

/** Too common for an index; those who look for them find them soon. The migration's indexes leave them out. */
const COMMON_ACTORS = "actor not in ('user', 'app', 'system')"
const COMMON_ACTIONS = "action not in ('connection.connected', 'connection.revoked', 'grant.begun')"

const COLUMNS = `events.id as id, at, actor, action, connection_id as connectionId, app_id as appId,
  grant_id as grantId, address, details`

const ANY_EVENT: EventFilter = {
  actor: null,
  action: null,
  appId: null,
  connectionId: null,
  from: null,
  to: null,
}

/** A place among events: behind one, or before it. */
interface Place {
  at: Millis
  id: number
  back: boolean
}

/** Conditions that one index answers, and those that its rows are tried against. */
interface Conditions {
  indexed: string
  others: string
}

/**
 * Prepares the reading of pages of events in the order of their times. One condition has an index, the
 * others are tried on its rows, a few thousand at a time: nothing waits for a search that finds little.
 */
function prepareEventPages({ client, read }: Pick<Engine, 'client' | 'read'>) {
  type Found = Place & { fits: 0 | 1 }
  type Query = Parameters<EventStore['listEvents']>[0]

  /** The next events in one direction, with whether they fit. */
  const look = (conditions: Conditions, filter: EventFilter, place: Place, most: number) => {
    const { indexed, others } = conditions
    const [comparison, direction] = place.back ? ['>', 'asc'] : ['<', 'desc']
    const query = `select id, at, ${others} as fits from events
      where ${indexed} and at >= @from and at < @to and (at, id) ${comparison} (@placeAt, @placeId)
      order by at ${direction}, id ${direction} limit ${most}`
    const bounds = { from: filter.from ?? 0, to: filter.to ?? Number.MAX_SAFE_INTEGER }
    const values = { ...filter, ...bounds, placeAt: place.at, placeId: place.id }
    return client.prepare<[object], Found>(query).all(values)
  }

  /** Ids of as many as are wanted, and where the search ended: `null` at the last event. */
  const search = async (filter: EventFilter, place: Place, wanted: number) => {
    const conditions = conditionsOf(filter)
    const hits: Found[] = []
    let from = place
    for (let most = FIRST, looked = 0; looked < IN_ALL; looked += most, most = AT_ONCE) {
      const found = await read(() => look(conditions, filter, from, most))
      hits.push(...found.filter(({ fits }) => fits === 1))
      if (hits.length >= wanted) return { hits: hits.slice(0, wanted), ended: null }
      const last = found.at(-1)
      if (!last || found.length < most) return { hits, ended: null }
      from = { ...last, back: place.back }
      await setImmediate()
    }
    return { hits, ended: from }
  }

  const fetch = (ids: number[]): Promise<Event[]> =>
    read(() =>
      client
        .prepare<[string], Event>(
          `select ${COLUMNS} from json_each(?) cross join events on events.id = value
          order by at desc, events.id desc`,
        )
        .all(JSON.stringify(ids)),
    )

  return async ({ filter, cursor = null, limit }: Query): Promise<EventPage> => {
    const place = parsePlace(cursor)
    const { hits, ended } = await search({ ...ANY_EVENT, ...filter }, place ?? newest, limit + 1)
    const back = place?.back === true
    const more = hits.length > limit
    const shown = hits.slice(0, limit)
    const rows = await fetch(shown.map(({ id }) => id))
    const [first, last] = [rows[0], rows.at(-1)]
    const beyond = ended && writePlace(ended, back)
    const newer = first && (back ? more : place !== null) ? writePlace(first, true) : null
    const older = last && (back || more) ? writePlace(last, false) : null
    return {
      rows,
      newer: back ? (newer ?? beyond) : newer,
      older: back ? older : (older ?? beyond),
      searchedTo: ended && ended.at,
    }
  }
}

const newest: Place = { at: Number.MAX_SAFE_INTEGER, id: 0, back: false }

/** The condition that leaves the fewest rows comes first; it alone is answered by an index. */
function conditionsOf({ connectionId, actor, appId, action }: EventFilter): Conditions {
  const isRare = (value: string | null, common: string) =>
    value !== null && !common.includes(`'${value}'`)
  const conditions = [
    ...(connectionId === null ? [] : ['connection_id = @connectionId']),
    ...(isRare(actor, COMMON_ACTORS) ? [`actor = @actor and ${COMMON_ACTORS}`] : []),
    ...(isRare(action, COMMON_ACTIONS) ? [`action = @action and ${COMMON_ACTIONS}`] : []),
    ...(appId === null ? [] : ['app_id = @appId']),
    ...(actor === null || isRare(actor, COMMON_ACTORS) ? [] : ['+actor = @actor']),
    ...(action === null || isRare(action, COMMON_ACTIONS) ? [] : ['+action = @action']),
  ]
  const [first = 'true', ...others] = conditions
  const unindexed = others.map((condition) => `(${condition})`).join(' and ')
  return first.startsWith('+')
    ? { indexed: 'true', others: conditions.join(' and ') }
    : { indexed: first, others: unindexed || '1' }
}

const writePlace = ({ at, id }: Pick<Place, 'at' | 'id'>, back: boolean): string =>
  Buffer.from(JSON.stringify([back ? 1 : 0, at, id])).toString('base64url')

/** Cursors come from addresses, where people may write anything. */
function parsePlace(cursor: string | null): Place | null {
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor ?? '', 'base64url').toString())
    if (!Array.isArray(values) || !values.every(Number.isSafeInteger)) return null
    const [back, at, id] = values as number[]
    return at === undefined || id === undefined ? null : { back: back === 1, at, id }
  } catch {
    return null
  }
}
