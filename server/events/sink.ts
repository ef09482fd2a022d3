import { EVENT_TYPES } from '../../db/event-types.ts'
import type { EventType, PublicEvent } from '../../db/store.ts'
import type { Message } from './message.ts'

/** Result of one attempt. */
export interface Attempt {
  /** `gone`: the sink wants no more events (HTTP 410); it is disabled. */
  outcome: 'delivered' | 'failed' | 'gone'
  /** HTTP status or exit code; `null`: no answer. */
  answer: number | null
  /** Why it failed, for people; `null`: it did not. Never a secret. */
  error: string | null
  /** How long the sink asks to wait, milliseconds (`Retry-After`). */
  retryAfterMs?: number
}

/** Where events go: a webhook, or the command of the host. */
export interface EventSink {
  /** Id of the webhook, or `COMMAND_SINK_ID`. Deliveries are stored by it. */
  id: string
  /** Only events of this app; `null`: all. */
  appId: string | null
  /** Only these; empty: all. */
  types: EventType[]
  /** Only events after this one; 0: all. */
  afterEventId: number
  /** One attempt, within a bounded time. It never throws; the dispatcher repeats it. */
  deliver(message: Message, signal: AbortSignal): Promise<Attempt>
}

/** Is the event one that the sink asked for? */
export const matches = (
  { appId, types }: Pick<EventSink, 'appId' | 'types'>,
  { action, appIds }: Pick<PublicEvent, 'action' | 'appIds'>,
): boolean =>
  (appId === null || appIds.includes(appId)) &&
  (types.length === 0 || types.includes(EVENT_TYPES[action]))
