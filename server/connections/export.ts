import { stringify } from 'csv-stringify/sync'
import type {
  ConnectionFilter,
  Event,
  EventFilter,
  ListedConnection,
  Store,
} from '../../db/store.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Clock, Throttle } from '../runtime.ts'

/** `csv`: RFC 4180, safe to open in a spreadsheet. `jsonl`: a JSON object a line. */
export type ExportFormat = 'csv' | 'jsonl'

/** All that match, as text in pieces; the next is made when the last was taken. The export is an event. */
export interface Exports {
  users(
    filter: ConnectionFilter,
    format: ExportFormat,
    by: Actor,
  ): Promise<AsyncGenerator<string, void>>
  events(
    filter: EventFilter,
    format: ExportFormat,
    by: Actor,
  ): Promise<AsyncGenerator<string, void>>
}

/** A field of an exported row; lists are joined in CSV. */
type Field = string | number | null | string[]
type Row = Record<string, Field>

/** Events read at once. */
const BATCH = 50

export function createExports(needs: { store: Store; throttle: Throttle; clock: Clock }): Exports {
  const { store, throttle, clock } = needs

  const tell = (by: Actor, action: string, details: string): Promise<void> =>
    store.addEvents([{ ...actorFields(by), at: clock.now(), action, details }])

  /** Reads and writes a page at a time, in its turn. */
  async function* pages<T>(
    { columns, rowOf, read }: Source<T>,
    format: ExportFormat,
  ): AsyncGenerator<string, void> {
    const write = format === 'csv' ? toCsv : toLines
    if (format === 'csv') yield toCsv([Object.fromEntries(columns.map((name) => [name, name]))])
    let cursor: string | null = null
    do {
      const piece: { text: string; next: string | null } = await throttle(async () => {
        const { rows, next } = await read(cursor)
        return { text: write(rows.map(rowOf)), next }
      })
      if (piece.text !== '') yield piece.text
      cursor = piece.next
    } while (cursor !== null)
  }

  const readEvents = async (filter: EventFilter, cursor: string | null) => {
    const { rows, older } = await store.listEvents({ filter, cursor, limit: BATCH })
    return { rows, next: older }
  }

  return {
    async users(filter, format, by) {
      const names = new Map((await store.listApps()).map(({ id, name }) => [id, name]))
      const search = filter.search === null ? null : 'by name or id'
      const told = wordsOf({ ...filter, search, statuses: filter.statuses.join(', ') })
      await tell(by, 'users.exported', `as ${format}${told}`)
      const rowOf = (row: ListedConnection): Row => userRow(row, names)
      const read = (cursor: string | null) => store.walkConnections(filter, cursor)
      return pages({ columns: USER_COLUMNS, rowOf, read }, format)
    },

    async events(filter, format, by) {
      const told = wordsOf({ ...filter, from: iso(filter.from), to: iso(filter.to) })
      await tell(by, 'audit.exported', `as ${format}${told}`)
      const read = (cursor: string | null) => readEvents(filter, cursor)
      return pages({ columns: EVENT_COLUMNS, rowOf: eventRow, read }, format)
    },
  }
}

/** What is exported: rows a page at a time, and how they are written. */
interface Source<T> {
  columns: string[]
  rowOf: (row: T) => Row
  read: (cursor: string | null) => Promise<{ rows: T[]; next: string | null }>
}

const userRow = (row: ListedConnection, names: Map<string, string>): Row => ({
  connection_id: row.id,
  account_id: row.accountId,
  username: row.username,
  status: row.status,
  apps: row.apps.map(({ id }) => names.get(id) ?? id),
  connected_at: iso(row.connectedAt),
  last_used_at: iso(row.lastUsedAt),
  refreshed_at: iso(row.refreshedAt),
  access_token_expires_at: iso(row.accessTokenExpiresAt),
  revoked_at: iso(row.revokedAt),
  last_error: row.lastError,
})

const eventRow = (row: Event): Row => ({
  id: row.id,
  at: iso(row.at),
  actor: row.actor,
  action: row.action,
  connection_id: row.connectionId,
  client_id: row.appId,
  grant_id: row.grantId,
  address: row.address,
  details: row.details,
})

const USER_COLUMNS = [
  ...['connection_id', 'account_id', 'username', 'status', 'apps', 'connected_at', 'last_used_at'],
  ...['refreshed_at', 'access_token_expires_at', 'revoked_at', 'last_error'],
]
const EVENT_COLUMNS = [
  ...['id', 'at', 'actor', 'action', 'connection_id', 'client_id', 'grant_id', 'address'],
  'details',
]

/**
 * Names come from elsewhere: what a spreadsheet would take for a formula is marked as text. That goes for the
 * inside of a field too: where lists are separated by `;` or tabs, a reader splits there, in spite of quotes.
 */
const toCsv = (rows: Row[]): string =>
  stringify(
    rows.map((row) => Object.values(row).map(cellOf)),
    { escape_formulas: true, quoted: true, record_delimiter: 'windows' },
  )

const cellOf = (field: Field): string | number | null => {
  const value = Array.isArray(field) ? field.join('; ') : field
  return typeof value === 'string' ? value.replaceAll(FORMULA_WITHIN, "$&'") : value
}

/** Where another reader begins a cell with a formula; also the full-width signs. */
const FORMULA_WITHIN = /[;\t\r\n](?=[ "]*[=+\-@＝＋－＠])/g

const toLines = (rows: Row[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString())

/** What narrows it, for the event. */
const wordsOf = (filter: object): string =>
  Object.entries(filter)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `, ${name} ${value}`)
    .join('')
