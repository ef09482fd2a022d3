import type { Event, EventFilter, PublicAction, PublicEvent } from '../../../../db/store.ts'
import { publicType, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'addEvents'
  | 'listEvents'
  | 'listPublicEvents'
  | 'getPublicEvent'
  | 'timeOfEvent'
  | 'lastEventId'
  | 'lastEventBefore'
  | 'setCondition'

export const eventRules = (tables: Tables): Answering<Methods> => {
  const all = (): Event[] => [...tables.events.values()]

  return {
    addEvents(events) {
      writeEvents(tables, events)
    },

    /** The cursor is the offset of the page. */
    listEvents({ filter = {}, cursor = null, limit }) {
      const from = Number(cursor ?? 0)
      const matching = all().filter((event) => matches(event, filter))
      const rows = sortBy(
        matching,
        ({ at }) => -at,
        ({ id }) => -id,
      )
      return {
        rows: rows.slice(from, from + limit),
        newer: from > 0 ? `${Math.max(0, from - limit)}` : null,
        older: rows.length > from + limit ? `${from + limit}` : null,
        searchedTo: null,
      }
    },

    listPublicEvents({ after, appId, connectionId = null, types = [], limit }) {
      const later = all().filter(({ id }) => id > after)
      const events = later
        .map((event) => publicEvent(tables, event))
        .filter((event) => event !== undefined)
        .filter((event) => appId === null || event.appIds.includes(appId))
        .filter((event) => connectionId === null || event.connectionId === connectionId)
        .filter((event) => types.length === 0 || types.some((type) => type === publicType(event)))
      const isEnd = events.length <= limit
      const shown = events.slice(0, limit)
      return { events: shown, readTo: (isEnd ? later : shown).at(-1)?.id ?? after, isEnd }
    },

    getPublicEvent(id) {
      const event = tables.events.get(id)
      return event && publicEvent(tables, event)
    },

    timeOfEvent: (id) => tables.events.get(id)?.at ?? null,

    lastEventId: () => Math.max(lastStoredId(tables), tables.outbox.lastEventId ?? 0),

    lastEventBefore: (time) =>
      sortBy(
        all().filter(({ at }) => at < time),
        ({ at }) => at,
        ({ id }) => id,
      ).at(-1)?.id ?? 0,

    setCondition({ name, isOn, events }) {
      if ((tables.conditions.get(name) ?? false) === isOn) return false
      tables.conditions.set(name, isOn)
      writeEvents(tables, events)
      return true
    },
  }
}

export const lastStoredId = ({ events }: Tables): number => Math.max(0, ...events.keys())

function matches(
  event: Event,
  { from = null, to = null, ...filter }: Partial<EventFilter>,
): boolean {
  const names = ['actor', 'action', 'appId', 'connectionId'] as const
  return (
    names.every((name) => (filter[name] ?? null) === null || event[name] === filter[name]) &&
    (from === null || event.at >= from) &&
    (to === null || event.at < to)
  )
}

/** What receivers see of an event; `undefined`: it is not public. */
function publicEvent(tables: Tables, event: Event): PublicEvent | undefined {
  if (!publicType(event)) return undefined
  const action = event.action as PublicAction
  const externalId = tables.grants.get(event.grantId ?? '')?.externalId ?? null
  return { ...event, action, externalId, appIds: appIdsOf(tables, event) }
}

/** Apps that an event concerns. */
function appIdsOf(tables: Tables, { action, at, appId, connectionId }: Event): string[] {
  const own = appId === null ? [] : [appId]
  if (action.startsWith('grant.') || action === 'app.grants_revoked') return own
  if (!action.startsWith('connection.')) return []
  const grants = [...tables.grants.values()].filter(
    (grant) =>
      grant.connectionId === connectionId &&
      grant.createdAt <= at &&
      // Those who got data of the person are told of the erasure, even if their grant had ended.
      ((grant.revokedAt ?? at) >= at || action === 'connection.erased'),
  )
  return sortBy(new Set([...own, ...grants.map(({ appId }) => appId)]), (id) => id)
}
