import { isDeepStrictEqual } from 'node:util'
import { EVENT_TYPES, isPublicAction } from '../../../../db/event-types.ts'
import type {
  Admin,
  App,
  BulkItem,
  BulkRevocation,
  Code,
  Connection,
  Delivery,
  DeviceCode,
  Event,
  Grant,
  Hash,
  Link,
  Millis,
  NewEvent,
  Passkey,
  SecondFactor,
  Session,
  SigningKey,
  Store,
  UpstreamState,
  UsageCount,
  Webhook,
} from '../../../../db/store.ts'

/** Methods of the contract that answer at once. Nothing runs between two of them, so each is a transaction. */
export type Answering<Method extends keyof Store> = {
  [M in Method]: (...args: Parameters<Store[M]>) => Awaited<ReturnType<Store[M]>>
}

/** Everything that the reference holds. */
export interface Tables {
  apps: Map<string, App>
  usedStates: Map<Hash, Millis>
  usedProofs: Map<Hash, Millis>
  codes: Map<Hash, Code>
  deviceCodes: Map<Hash, DeviceCode>
  connections: Map<string, Connection>
  /** By connection: the number of its last public event. */
  sequences: Map<string, number>
  grants: Map<string, Grant>
  links: Map<string, Link>
  bulks: Map<number, BulkRevocation & Pick<Connection, 'leaseRemainingMs'>>
  lastBulkId: number
  /** Ids that the engine chose for those that are added next: it may leave some out. */
  newBulkIds: number[]
  /** By bulk revocation and connection: those still to do, or failed. */
  bulkItems: Map<number, Map<string, BulkItem['error']>>
  admins: Map<string, Omit<Admin, 'secondFactorSince' | 'passkeyIds'>>
  secondFactors: Map<string, SecondFactor>
  passkeys: Map<string, Passkey>
  sessions: Map<Hash, Session>
  devices: Map<Hash, { adminId: string; expiresAt: Millis }>
  setupLinks: Map<Hash, Millis>
  attempts: Map<Hash, { count: number; until: Millis }>
  /** By id, in the order in which they were written. */
  events: Map<number, Event>
  lastEventId: number
  /** As `newBulkIds`. */
  newEventIds: number[]
  conditions: Map<string, boolean>
  webhooks: Map<string, Webhook>
  deliveries: Map<number, Delivery>
  lastDeliveryId: number
  /** `lastEventId` `null`: it has not begun. */
  outbox: { owner: string | null; leaseRemainingMs: number; lastEventId: number | null }
  usage: UsageCount[]
  counters: Map<string, { total: number; until: Millis }>
  upstream: UpstreamState
  signingKeys: Map<string, SigningKey>
  meta: Map<string, string>
}

export const emptyTables = (): Tables => ({
  apps: new Map(),
  usedStates: new Map(),
  usedProofs: new Map(),
  codes: new Map(),
  deviceCodes: new Map(),
  connections: new Map(),
  sequences: new Map(),
  grants: new Map(),
  links: new Map(),
  bulks: new Map(),
  lastBulkId: 0,
  newBulkIds: [],
  bulkItems: new Map(),
  admins: new Map(),
  secondFactors: new Map(),
  passkeys: new Map(),
  sessions: new Map(),
  devices: new Map(),
  setupLinks: new Map(),
  attempts: new Map(),
  events: new Map(),
  lastEventId: 0,
  newEventIds: [],
  conditions: new Map(),
  webhooks: new Map(),
  deliveries: new Map(),
  lastDeliveryId: 0,
  outbox: { owner: null, leaseRemainingMs: 0, lastEventId: null },
  usage: [],
  counters: new Map(),
  upstream: { answeredAt: null, failedAt: null, failingSince: null, lastError: null },
  signingKeys: new Map(),
  meta: new Map(),
})

/** A copy to try something in. Records stay the same: they are replaced, never changed. */
export const copyTables = (tables: Tables): Tables => ({
  ...tables,
  ...Object.fromEntries(
    Object.entries(tables).map(([name, table]) => [
      name,
      table instanceof Map ? new Map<unknown, unknown>(table) : table,
    ]),
  ),
  outbox: { ...tables.outbox },
  usage: [...tables.usage],
  newBulkIds: [...tables.newBulkIds],
  newEventIds: [...tables.newEventIds],
})

/** Writes events, and adds what receivers need to those that are public. */
export function writeEvents(tables: Tables, events: NewEvent[]): void {
  for (const event of events) {
    const id = tables.newEventIds.shift() ?? tables.lastEventId + 1
    tables.lastEventId = id
    const missing = { connectionId: null, appId: null, grantId: null, address: null, details: null }
    const full: Event = { ...missing, ...event, id, sequence: null }
    if (isPublicAction(event.action)) {
      const grant = tables.grants.get(event.grantId ?? '')
      full.appId = event.appId ?? grant?.appId ?? null
      full.connectionId = event.connectionId ?? grant?.connectionId ?? null
      full.sequence = nextSequence(tables, full.connectionId)
    }
    tables.events.set(id, full)
  }
}

function nextSequence(tables: Tables, connectionId: string | null): number | null {
  if (connectionId === null || !tables.connections.has(connectionId)) return null
  const sequence = (tables.sequences.get(connectionId) ?? 0) + 1
  tables.sequences.set(connectionId, sequence)
  return sequence
}

export const publicType = ({ action }: Pick<Event, 'action'>) =>
  isPublicAction(action) ? EVENT_TYPES[action] : undefined

export const isUnrevoked = ({ revokedAt }: { revokedAt: Millis | null }): boolean =>
  revokedAt === null

/** What two records say, whatever the class of their bytes and the order of their fields. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('latin1')}`
  if (value instanceof Map) return plain(Object.fromEntries(value))
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field)]))
}

export const isSame = (one: unknown, other: unknown): boolean =>
  isDeepStrictEqual(plain(one), plain(other))

type Key = string | number | null

/** Sorts by keys, `null` first. */
export const sortBy = <T>(rows: Iterable<T>, ...keys: ((row: T) => Key)[]): T[] =>
  [...rows].sort((one, other) => {
    for (const key of keys) {
      const order = compareKeys(key(one), key(other))
      if (order !== 0) return order
    }
    return 0
  })

export function compareKeys(one: Key, other: Key): number {
  if (one === other) return 0
  if (one === null || other === null) return one === null ? -1 : 1
  return one < other ? -1 : 1
}

/** Deletes those that match. Returns how many. */
export function deleteWhere<K, V>(map: Map<K, V>, matches: (value: V, key: K) => boolean): number {
  const found = [...map].filter(([key, value]) => matches(value, key))
  for (const [key] of found) map.delete(key)
  return found.length
}
