import type { EventType, PublicEvent } from '../../db/store.ts'
import type { Random } from '../runtime.ts'
import { EVENT_TYPES } from '../../db/event-types.ts'

/** What receivers get of an event. Ids only: never a token, a secret, or the name or e-mail of a person. */
export interface Message {
  /** `webhook-id` and cursor of the feed. The same in every delivery of the event. */
  id: string
  type: EventType | 'webhook.test'
  /** When it happened, ISO 8601. */
  timestamp: string
  data: {
    connection_id: string | null
    /** `client_id` of the app. */
    app_id: string | null
    /** `null` in `grant.revoked`: all grants of the app on the connection. */
    grant_id: string | null
    /** The app's own id of the user, if it has set one. */
    external_id: string | null
    /** Counts the events of the connection. Two events may arrive out of order only if one was given up or replayed. */
    sequence: number | null
  }
}

/**
 * The message of an event. The id contains the time, so that a restored backup never uses an id again.
 * @param appId the app that receives it; `null`: the host. An app learns nothing of others
 */
export function toMessage(event: PublicEvent, appId: string | null): Message {
  const isOwn = appId === null || event.appId === appId
  return {
    id: messageId(event),
    type: EVENT_TYPES[event.action],
    timestamp: new Date(event.at).toISOString(),
    data: {
      connection_id: event.connectionId,
      app_id: isOwn ? event.appId : appId,
      grant_id: isOwn ? event.grantId : null,
      external_id: isOwn ? event.externalId : null,
      sequence: event.sequence,
    },
  }
}

/** The id of an event outside of the broker. */
export const messageId = ({ id, at }: Pick<PublicEvent, 'id' | 'at'>): string => `evt_${id}_${at}`

/** Reads what `messageId` makes; `null`: another text. */
export function readMessageId(text: string): { id: number; at: number } | null {
  const [, id, at] = /^evt_([0-9]{1,15})_([0-9]{1,15})$/.exec(text) ?? []
  return id === undefined ? null : { id: Number(id), at: Number(at) }
}

/** The message that tests an endpoint. */
export const testMessage = (random: Random, now: number): Message => ({
  id: `evt_test_${random(8).toString('hex')}`,
  type: 'webhook.test',
  timestamp: new Date(now).toISOString(),
  data: { connection_id: null, app_id: null, grant_id: null, external_id: null, sequence: null },
})
