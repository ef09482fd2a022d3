import { EVENT_TYPES } from '../event-types.ts'
import type { EventStore, PublicAction, PublicEvent } from '../store.ts'
import type { Engine } from './engine.ts'

/** Events that one call reads: a few milliseconds of the event loop. */
const MAX_READ = 1000

const PUBLIC_ACTIONS = Object.keys(EVENT_TYPES) as PublicAction[]

/**
 * Did the app have a grant on the event's connection at the time? Erasure is told to all apps whose grants are still
 * stored: they may keep data of the person.
 */
const CONCERNED_GRANTS = `grants.connection_id = events.connection_id and created_at <= at
  and (revoked_at is null or revoked_at >= at or action = 'connection.erased')`

const APP_IDS = `case
  when action like 'connection.%' then (select json_group_array(app_id) from (
    select events.app_id where events.app_id is not null
    union select grants.app_id from grants where ${CONCERNED_GRANTS} order by 1) as apps)
  when action like 'grant.%' or action = 'app.grants_revoked' then (select json_group_array(app_id) from (select events.app_id) as apps)
  else '[]' end`

const CONCERNS_APP = `(@appId is null or case
  when action like 'connection.%' then app_id = @appId
    or exists (select 1 from grants where grants.app_id = @appId and ${CONCERNED_GRANTS})
  when action like 'grant.%' or action = 'app.grants_revoked' then app_id = @appId
  else false end)`

type Row = Omit<PublicEvent, 'appIds'> & { appIds: string }
type Methods =
  'listPublicEvents' | 'getPublicEvent' | 'timeOfEvent' | 'lastEventId' | 'lastEventBefore'

/** Public events in the order of their ids, which is that of their commits. */
export function publicEventMethods({ client, read }: Engine): Pick<EventStore, Methods> {
  const look = client.prepare<[object], { id: number; matches: 0 | 1 }>(
    `select id, action in (select value from json_each(@actions)) and ${CONCERNS_APP}
      and (@connectionId is null or connection_id = @connectionId) as matches
    from events where id > @after order by id limit ${MAX_READ}`,
  )
  const fetch = client.prepare<[string], Row>(
    `select events.id as id, at, actor, action, connection_id as connectionId, app_id as appId,
      grant_id as grantId, address, details, sequence,
      (select external_id from grants where grants.id = events.grant_id) as externalId,
      ${APP_IDS} as appIds
    from json_each(?) cross join events on events.id = cast(value as bigint) order by events.id`,
  )
  const fetchAll = (ids: number[]): PublicEvent[] =>
    fetch
      .all(JSON.stringify(ids))
      .map((row) => ({ ...row, appIds: JSON.parse(row.appIds) as string[] }))
  const findTime = client.prepare<[number], number>('select at from events where id = ?').pluck()
  const findLast = client
    .prepare<[], number>(
      `select max(coalesce((select max(id) from events), 0),
        coalesce((select last_event_id from outbox), 0))`,
    )
    .pluck()
  const findLastBefore = client
    .prepare<[number], number>(
      'select id from events where at < ? order by at desc, id desc limit 1',
    )
    .pluck()

  return {
    listPublicEvents: ({ after, appId, connectionId = null, types = [], limit }) =>
      read(() => {
        const actions = PUBLIC_ACTIONS.filter(
          (action) => types.length === 0 || types.includes(EVENT_TYPES[action]),
        )
        const found = look.all({ after, appId, connectionId, actions: JSON.stringify(actions) })
        const matches = found.filter(({ matches }) => matches === 1)
        const shown = matches.slice(0, limit).map(({ id }) => id)
        const isCut = matches.length > limit
        return {
          events: fetchAll(shown),
          readTo: (isCut ? shown.at(-1) : found.at(-1)?.id) ?? after,
          isEnd: !isCut && found.length < MAX_READ,
        }
      }),

    getPublicEvent: (id) =>
      read(() => fetchAll([id]).find(({ action }) => PUBLIC_ACTIONS.includes(action))),

    timeOfEvent: (id) => read(() => findTime.get(id) ?? null),
    lastEventId: () => read(() => findLast.get() ?? 0),
    lastEventBefore: (time) => read(() => findLastBefore.get(time) ?? 0),
  }
}
