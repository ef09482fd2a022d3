import type { EventType, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { messageId, readMessageId, toMessage } from './message.ts'
import type { Message } from './message.ts'

/** The events, for those who poll. */
export interface Feed {
  /**
   * A page of events after a cursor, in the order in which they happened. A reader who continues with `next`, or
   * with the id of the last event when `next` is `null`, misses nothing and sees nothing twice.
   * @param query.after id of an event, or `next` of another page; `null`: from the beginning
   * @param query.appId only events that concern this app, without ids of others; `null`: all
   * @returns `next`: continue there, even if the page has fewer events than the limit; `null`: there are no more
   *   at present
   * @throws BrokerError `invalid_request` if the cursor is not one
   */
  list(query: {
    after: string | null
    appId: string | null
    connectionId?: string | null
    types?: EventType[]
    limit: number
  }): Promise<{ events: Message[]; next: string | null }>
  /** A cursor from which only later events follow. */
  end(): Promise<string>
}

export function createFeed({ store }: { store: Store }): Feed {
  /** The position of a cursor. After a backup was restored, ids are used again: then the time counts. */
  const positionOf = async (cursor: string | null): Promise<number> => {
    if (cursor === null) return 0
    const read = readMessageId(cursor)
    if (!read) {
      const description =
        'The cursor (`after`) must be the id of an event, or `next` of another page.'
      throw new BrokerError('invalid_request', { description, reason: 'invalid_cursor' })
    }
    const at = await store.timeOfEvent(read.id)
    const isSwept = at === null && read.id < (await store.lastEventId())
    return at === read.at || isSwept ? read.id : store.lastEventBefore(read.at + 1)
  }

  const cursorOf = async (id: number): Promise<string> =>
    messageId({ id, at: (await store.timeOfEvent(id)) ?? 0 })

  return {
    async list({ after, ...query }) {
      const position = await positionOf(after)
      const { events, readTo, isEnd } = await store.listPublicEvents({ after: position, ...query })
      return {
        events: events.map((event) => toMessage(event, query.appId)),
        next: isEnd ? null : await cursorOf(readTo),
      }
    },

    end: async () => cursorOf(await store.lastEventId()),
  }
}
