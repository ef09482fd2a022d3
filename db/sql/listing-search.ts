import { fold } from '../fold.ts'
import type { Engine } from './engine.ts'

/** The rows of `listing` that match a filter: see the table in db/migrations/sqlite. */
export interface Filtered {
  /** Number of the app; 0: all connections. */
  app: number
  statuses: number[]
  /** How many rows match. */
  total: number
}

/** A row of `listing`: its number, and the value that it is sorted by. */
export interface Row {
  n: number
  key: string | number
}

/**
 * Rows that were found, in no order. `crowded`: more than `MAX_HITS` match, and these are some of them.
 * `partial`: so many names match that not all could be checked against the filter; there may be more.
 */
interface Hits {
  rows: Row[]
  crowded: boolean
  partial: boolean
}

/** Hits that are sorted; to find one among more, people type another letter. */
const MAX_HITS = 1000
/** Hits of trigrams that are checked against the rest of a query. */
const MAX_TRIGRAM_HITS = 5000
/** Up to this many rows are read one by one if trigrams find too many: exact, and fast enough. */
const MAX_SCANNED_ROWS = 30_000

/** Finds connections by part of the name, and by ids. */
export interface Search {
  search(text: string, filtered: Filtered, column: string): Hits
  /** Which of these rows a search for `text` finds, in their order. */
  match(rows: Row[], text: string, filtered: Filtered): Row[]
}

export function prepareSearch({ client, grams }: Pick<Engine, 'client' | 'grams'>): Search {
  const all = (query: string, values: object): Row[] => client.prepare(query).all(values) as Row[]

  const inFilter = ({ statuses }: Filtered): string =>
    `listing.app = @app and listing.status in (${statuses.join()})`

  /** Rows of a range of the index of names, by status; other sort columns are read for these rows only. */
  const inRange = (
    { app, statuses }: Filtered,
    column: string,
    {
      condition,
      limit,
      ...values
    }: { condition: string; limit: number; key: string; end?: string },
  ): Row[] => {
    const parts = statuses.map(
      (status) => `select * from (select n, name as key from listing indexed by listing_name
        where app = @app and status = ${status} and ${condition} order by name limit ${limit}) as rows${status}`,
    )
    const found = `(${parts.join(' union all ')}) as found`
    const hits = `(select n, key from ${found} order by key limit ${limit}) as hit`
    const query =
      column === 'name'
        ? `select n, key from ${hits}`
        : `select listing.n, listing.${column} as key from ${hits}
           cross join listing on listing.n = hit.n and listing.app = @app`
    return all(query, { app, ...values })
  }

  /** Names that begin with `key`. */
  const byPrefix = (key: string, filtered: Filtered, column: string, limit: number): Row[] => {
    const range = { key, end: `${key}\u{10ffff}`, limit }
    return inRange(filtered, column, { condition: 'name >= @key and name < @end', ...range })
  }

  const byScan = (key: string, filtered: Filtered, column: string): Row[] =>
    inRange(filtered, column, { condition: 'instr(name, @key) > 0', key, limit: MAX_HITS + 1 })

  const byTrigrams = (key: string, filtered: Filtered, column: string): Hits => {
    const { found, n } = grams
    const phrase = grams.phraseOf(key)
    const query = `
      select listing.n, listing.${column} as key from (select ${n} as n ${found} limit ${MAX_TRIGRAM_HITS}) as hit
      cross join listing on listing.n = hit.n and ${inFilter(filtered)}
      limit ${MAX_HITS + 1}`
    const rows = all(query, { app: filtered.app, phrase })
    const more = () =>
      client.prepare(`select 1 ${found} limit 1 offset ${MAX_TRIGRAM_HITS}`).get({ phrase }) !==
      undefined
    const crowded = rows.length > MAX_HITS
    return { rows, crowded, partial: !crowded && more() }
  }

  /**
   * Names that contain a key too short for trigrams, such as a Chinese name. Those that begin with it come first,
   * so that a name that is no longer than the key is found, however many others contain it.
   */
  const byFewLetters = (key: string, filtered: Filtered, column: string): Hits => {
    const first = byPrefix(key, filtered, column, MAX_HITS + 1)
    if (first.length > MAX_HITS) return limited(first)
    if (filtered.total > MAX_SCANNED_ROWS) return { ...limited(first), partial: true }
    return limited(distinct([...first, ...byScan(key, filtered, column)]))
  }

  const byName = (key: string, filtered: Filtered, column: string): Hits => {
    const { length } = Array.from(key)
    if (length === 0) return limited([])
    if (length < 3) return byFewLetters(key, filtered, column)
    const hits = byTrigrams(key, filtered, column)
    if (!hits.crowded && !hits.partial) return hits
    if (filtered.total <= MAX_SCANNED_ROWS) return limited(byScan(key, filtered, column))
    // A whole name is found, however many others contain it.
    const first = byPrefix(key, filtered, column, MAX_HITS / 2)
    const found = limited(distinct([...first, ...hits.rows]))
    return { ...found, partial: !found.crowded }
  }

  const byId = (text: string, filtered: Filtered, column: string): Row[] => {
    const query = `
      select listing.n, listing.${column} as key from (
        select @text as id
        union select connection_id from grants where id = @text
        union select connection_id from apps cross join grants on app_id = apps.id
          where external_id = @text
        union select id from connections where account_id = @text and status <> 'revoked'
        union select id from connections where account_id = @text and status = 'revoked'
      ) as wanted cross join listing_names on connection_id = wanted.id
      cross join listing on listing.n = listing_names.n and ${inFilter(filtered)} limit ${MAX_HITS}`
    return all(query, { app: filtered.app, text: text.trim() })
  }

  /** Which of these rows have a name that matches. */
  const named = (rows: Row[], key: string, { app }: Filtered): Set<number> => {
    if (key === '') return new Set()
    const query = `select n from json_each(@rows) cross join listing on n = cast(value as bigint) and app = @app
      where instr(name, @key) > 0`
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
  rows: rows.slice(0, MAX_HITS),
  crowded: rows.length > MAX_HITS,
  partial: false,
})

const distinct = (rows: Row[]): Row[] => [...new Map(rows.map((row) => [row.n, row])).values()]
