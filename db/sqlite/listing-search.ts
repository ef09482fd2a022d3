import type Database from 'better-sqlite3'
import { fold } from '../fold.ts'
import type { Filtered, Row } from './listing-rows.ts'

/**
 * Who was found, in no order. `crowded`: more than `MOST` match, and these are some of them. `partial`: so
 * many have such a name that not all could be tried against the filter, and there may be more.
 */
export interface Hits {
  rows: Row[]
  crowded: boolean
  partial: boolean
}

/** As many hits as are sorted; whoever looks for one among more types another letter. */
const MOST = 1000
/** Hits of trigrams that are tried against the rest of a query. */
const TRIED = 5000
/** Rows that are read one by one where trigrams find too many: exact, and quick enough. */
const FEW = 30_000

/** Finding people by the letters of their names, and by ids. */
export interface Search {
  search(text: string, filtered: Filtered, column: string): Hits
  /** Those of some rows that a search for `text` finds, in their order. */
  match(rows: Row[], text: string, filtered: Filtered): Row[]
}

export function prepareSearch(client: Database.Database): Search {
  const all = (query: string, values: object): Row[] => client.prepare(query).all(values) as Row[]

  const inFilter = ({ statuses }: Filtered): string =>
    `listing.app = @app and listing.status in (${statuses.join()})`

  /** Rows of a range of the index of names, by status; what else they are sorted by is read of these alone. */
  const inRange = (
    { app, statuses }: Filtered,
    column: string,
    { condition, most, ...values }: { condition: string; most: number; key: string; end?: string },
  ): Row[] => {
    const parts = statuses.map(
      (status) => `select * from (select n, name as key from listing indexed by listing_name
        where app = @app and status = ${status} and ${condition} order by name limit ${most})`,
    )
    const found = `(${parts.join(' union all ')})`
    const query =
      column === 'name'
        ? `select n, key from ${found} limit ${most}`
        : `select listing.n, listing.${column} as key from ${found} as hit
           cross join listing on listing.n = hit.n and listing.app = @app limit ${most}`
    return all(query, { app, ...values })
  }

  /** Names that begin with it. */
  const beginning = (key: string, filtered: Filtered, column: string, most: number): Row[] => {
    const range = { key, end: `${key}\u{10ffff}`, most }
    return inRange(filtered, column, { condition: 'name >= @key and name < @end', ...range })
  }

  const oneByOne = (key: string, filtered: Filtered, column: string): Row[] =>
    inRange(filtered, column, { condition: 'instr(name, @key) > 0', key, most: MOST + 1 })

  const byTrigrams = (key: string, filtered: Filtered, column: string): Hits => {
    const phrase = `"${key.replaceAll('"', '""')}"`
    const found = 'from listing_grams where listing_grams match @phrase'
    const query = `
      select listing.n, listing.${column} as key from (select rowid ${found} limit ${TRIED}) as hit
      cross join listing on listing.n = hit.rowid and ${inFilter(filtered)}
      limit ${MOST + 1}`
    const rows = all(query, { app: filtered.app, phrase })
    const more = () =>
      client.prepare(`select 1 ${found} limit 1 offset ${TRIED}`).get({ phrase }) !== undefined
    const crowded = rows.length > MOST
    return { rows, crowded, partial: !crowded && more() }
  }

  const byName = (key: string, filtered: Filtered, column: string): Hits => {
    const { length } = Array.from(key)
    if (length === 0) return limited([])
    if (length < 3) return limited(beginning(key, filtered, column, MOST + 1))
    const hits = byTrigrams(key, filtered, column)
    if (!hits.crowded && !hits.partial) return hits
    if (filtered.total <= FEW) return limited(oneByOne(key, filtered, column))
    // Whoever knows the whole name finds it, however many others contain it.
    const first = beginning(key, filtered, column, MOST / 2)
    const found = limited(distinct([...first, ...hits.rows]))
    return { ...found, partial: !found.crowded }
  }

  const byId = (text: string, filtered: Filtered, column: string): Row[] => {
    const query = `
      select listing.n, listing.${column} as key from (
        select @text as id
        union select connection_id from grants where id = @text
        union select id from connections where account_id = @text and status <> 'revoked'
        union select id from connections where account_id = @text and status = 'revoked'
      ) as wanted cross join listing_names on connection_id = wanted.id
      cross join listing on listing.n = listing_names.n and ${inFilter(filtered)} limit ${MOST}`
    return all(query, { app: filtered.app, text: text.trim() })
  }

  /** Which of these have such a name. */
  const named = (rows: Row[], key: string, { app }: Filtered): Set<number> => {
    const { length } = Array.from(key)
    if (length === 0) return new Set()
    const place = length < 3 ? '= 1' : '> 0'
    const query = `select n from json_each(@rows) cross join listing on n = value and app = @app
      where instr(name, @key) ${place}`
    const numbers = JSON.stringify(rows.map(({ n }) => n))
    return new Set(client.prepare<[object], number>(query).pluck().all({ rows: numbers, key, app }))
  }

  return {
    search(text, filtered, column) {
      const hits = byName(fold(text), filtered, column)
      return { ...hits, rows: distinct([...byId(text, filtered, column), ...hits.rows]) }
    },

    match(rows, text, filtered) {
      const found = named(rows, fold(text), filtered)
      for (const { n } of byId(text, filtered, 'n')) found.add(n)
      return rows.filter(({ n }) => found.has(n))
    },
  }
}

const limited = (rows: Row[]): Hits => ({
  rows: rows.slice(0, MOST),
  crowded: rows.length > MOST,
  partial: false,
})

const distinct = (rows: Row[]): Row[] => [...new Map(rows.map((row) => [row.n, row])).values()]
