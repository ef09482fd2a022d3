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

/** `csv`: RFC 4180 with a UTF-8 byte-order mark, safe to open in a spreadsheet. `jsonl`: one JSON object per line. */
export type ExportFormat = 'csv' | 'jsonl'

/** Exports all matching rows as a stream of text chunks, read on demand. Each export is recorded as an event. */
export interface Exports {
  users(
    filter: ConnectionFilter,
    format: ExportFormat,
    actor: Actor,
  ): Promise<AsyncGenerator<string, void>>
  events(
    filter: EventFilter,
    format: ExportFormat,
    actor: Actor,
  ): Promise<AsyncGenerator<string, void>>
}

/** A field of an exported row; CSV joins lists with `; `. */
type Field = string | number | null | string[]
type Row = Record<string, Field>

const EVENT_BATCH_SIZE = 50

/** Without it, Excel reads a CSV file in the encoding of its system and garbles names. */
const BYTE_ORDER_MARK = '\uFEFF'

export function createExports(dependencies: {
  store: Store
  throttle: Throttle
  clock: Clock
}): Exports {
  const { store, throttle, clock } = dependencies

  const recordEvent = (actor: Actor, action: string, details: string): Promise<void> =>
    store.addEvents([{ ...actorFields(actor), at: clock.now(), action, details }])

  /** Reads and formats one page at a time, under the background throttle. */
  async function* pages<T>(
    { columns, read }: Source<T>,
    format: ExportFormat,
  ): AsyncGenerator<string, void> {
    const names = Object.keys(columns)
    const formatRows = format === 'csv' ? toCsv : toJsonLines
    const rowOf = (row: T): Row =>
      Object.fromEntries(Object.entries(columns).map(([name, value]) => [name, value(row)]))
    if (format === 'csv') {
      yield BYTE_ORDER_MARK + toCsv([Object.fromEntries(names.map((name) => [name, name]))])
    }
    let cursor: string | null = null
    do {
      const piece: { text: string; next: string | null } = await throttle(async () => {
        const { rows, next } = await read(cursor)
        return { text: formatRows(rows.map(rowOf)), next }
      })
      if (piece.text !== '') yield piece.text
      cursor = piece.next
    } while (cursor !== null)
  }

  const readEvents = async (filter: EventFilter, cursor: string | null) => {
    const { rows, older } = await store.listEvents({ filter, cursor, limit: EVENT_BATCH_SIZE })
    return { rows, next: older }
  }

  return {
    async users(filter, format, actor) {
      const appNames = new Map((await store.listApps()).map(({ id, name }) => [id, name]))
      const search = filter.search === null ? null : 'by name or id'
      const filterText = describeFilter({ ...filter, search, statuses: filter.statuses.join(', ') })
      await recordEvent(actor, 'users.exported', `as ${format}${filterText}`)
      const read = (cursor: string | null) => store.walkConnections(filter, cursor)
      return pages({ columns: userColumns(appNames), read }, format)
    },

    async events(filter, format, actor) {
      const filterText = describeFilter({ ...filter, from: iso(filter.from), to: iso(filter.to) })
      await recordEvent(actor, 'audit.exported', `as ${format}${filterText}`)
      const read = (cursor: string | null) => readEvents(filter, cursor)
      return pages({ columns: eventColumns, read }, format)
    },
  }
}

/** The columns of an export, in order: a name, and the value for a row. */
type Columns<T> = Record<string, (row: T) => Field>

/** What to export: how to read a page, and its columns. */
interface Source<T> {
  columns: Columns<T>
  read: (cursor: string | null) => Promise<{ rows: T[]; next: string | null }>
}

const userColumns = (appNames: Map<string, string>): Columns<ListedConnection> => ({
  connection_id: (row) => row.id,
  account_id: (row) => row.accountId,
  username: (row) => row.username,
  status: (row) => row.status,
  apps: (row) => row.apps.map(({ id }) => appNames.get(id) ?? id),
  connected_at: (row) => iso(row.connectedAt),
  last_used_at: (row) => iso(row.lastUsedAt),
  refreshed_at: (row) => iso(row.refreshedAt),
  access_token_expires_at: (row) => iso(row.accessTokenExpiresAt),
  revoked_at: (row) => iso(row.revokedAt),
  last_error: (row) => row.lastError,
})

const eventColumns: Columns<Event> = {
  id: (row) => row.id,
  at: (row) => iso(row.at),
  actor: (row) => row.actor,
  action: (row) => row.action,
  connection_id: (row) => row.connectionId,
  client_id: (row) => row.appId,
  grant_id: (row) => row.grantId,
  address: (row) => row.address,
  details: (row) => row.details,
}

/**
 * Usernames are untrusted: escapes what a spreadsheet would read as a formula. That includes text inside a
 * field, because a reader whose separator is `;` or tab splits there despite the quotes.
 */
const toCsv = (rows: Row[]): string =>
  stringify(
    rows.map((row) => Object.values(row).map(cellOf)),
    { escape_formulas: true, quoted: true, record_delimiter: 'windows' },
  )

const cellOf = (field: Field): string | number | null => {
  const value = Array.isArray(field) ? field.join('; ') : field
  return typeof value === 'string' ? value.replaceAll(INNER_FORMULA, "$&'") : value
}

/** Where a reader with another separator would start a cell with a formula; includes full-width signs. */
const INNER_FORMULA = /[;\t\r\n](?=[ "]*[=+\-@＝＋－＠])/g

const toJsonLines = (rows: Row[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString())

/** The filter in words, for the event. */
const describeFilter = (filter: object): string =>
  Object.entries(filter)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `, ${name} ${value}`)
    .join('')
