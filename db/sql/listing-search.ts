import { fold } from '../fold.ts'
import type { Engine } from './engine.ts'
import type { Cut, Page, Place, Source } from './listing-cut.ts'

/** The rows of `listing` that match a filter: see the table in db/migrations/sqlite. */
export interface Filtered {
  /** Number of the app; 0: all connections. */
  app: number
  statuses: number[]
}

/**
 * A page of the rows that were found. `crowded`: more than `MAX_HITS` match, and these are some of them.
 * `partial`: so many names match that not all could be checked against the filter; there may be more.
 */
export type Hits = Pick<Page, 'rows' | 'total'> & { crowded: boolean; partial: boolean }

/** Hits that are sorted; to find one among more, people type another letter. */
const MAX_HITS = 1000
/** Hits of trigrams that are checked against the rest of a query. */
const MAX_TRIGRAM_HITS = 5000
/** Up to this many rows are read one by one if trigrams find too many: exact, and fast enough. */
const MAX_SCANNED_ROWS = 30_000

/** Finds connections by part of the name, and by ids. */
export interface Search {
  search(text: string, filtered: Filtered, cut: Cut): Hits
  /** Which of these rows a search for `text` finds, in their order. */
  match(places: Place[], text: string, filtered: Filtered): Place[]
}

export function prepareSearch(
  { client, grams }: Pick<Engine, 'client' | 'grams'>,
  readPage: (source: Source, cut: Cut) => Page,
  countRows: (filtered: Filtered) => number,
): Search {
  const inFilter = ({ statuses }: Filtered): string =>
    `listing.app = @app and listing.status in (${statuses.join()})`

  /** Rows of a range of the index of names, by status; other sort columns are read for these rows only. */
  const inRange = (
    { statuses }: Filtered,
    column: string,
    condition: string,
    limit: number,
  ): string => {
    const parts = statuses.map(
      (status) => `select * from (select n, name as key from listing indexed by listing_name
        where app = @app and status = ${status} and ${condition} order by name limit ${limit}) as rows${status}`,
    )
    const names = `select n, key from (${parts.join(' union all ')}) as found order by key limit ${limit}`
    if (column === 'name') return names
    return `select listing.n, listing.${column} as key from (${names}) as named
      cross join listing on listing.n = named.n and listing.app = @app`
  }

  /** Names that begin with the key. */
  const byPrefix = (filtered: Filtered, column: string, limit: number): string =>
    inRange(filtered, column, 'name >= @key and name < @end', limit)

  /** Do more names begin with the key than are listed? Far cheaper than trigrams, which are not needed then. */
  const isCrowded = (key: string, filtered: Filtered): boolean => {
    const query = `
      select 1 from (${byPrefix(filtered, 'name', MAX_HITS + 1)}) as prefixed limit 1 offset ${MAX_HITS}`
    return client.prepare(query).get({ app: filtered.app, key, end: endOf(key) }) !== undefined
  }

  const byScan = (filtered: Filtered, column: string): string =>
    inRange(filtered, column, 'instr(name, @key) > 0', MAX_HITS + 1)

  const byTrigrams = (filtered: Filtered, column: string): string => `
    select listing.n, listing.${column} as key
    from (select n from trigrams limit ${MAX_TRIGRAM_HITS}) as hit
    cross join listing on listing.n = hit.n and ${inFilter(filtered)} limit ${MAX_HITS + 1}`

  const byId = (text: string, filtered: Filtered): number[] => {
    const query = `
      select listing.n from (
        select @text as id
        union select connection_id from grants where id = @text
        union select connection_id from apps cross join grants on app_id = apps.id
          where external_id = @text
        union select id from connections where account_id = @text and status <> 'revoked'
        union select id from connections where account_id = @text and status = 'revoked'
      ) as wanted cross join listing_names on connection_id = wanted.id
      cross join listing on listing.n = listing_names.n and ${inFilter(filtered)} limit ${MAX_HITS}`
    return client
      .prepare<[object], number>(query)
      .pluck()
      .all({ app: filtered.app, text: text.trim() })
  }

  /** Do trigrams find more than is checked? It matters only if those are not enough. */
  const hasMore = `case when (select count(*) from named) > ${MAX_HITS} then 0
    when (select count(*) from trigrams) > ${MAX_TRIGRAM_HITS} then 1 else 0 end`

  /** A whole name is found, however many others contain it. */
  const withPrefixed = (filtered: Filtered, column: string, others: string): string => `
    select n, min(key) as key from (
      select n, key, 0 as place from (${byPrefix(filtered, column, MAX_HITS / 2)}) as prefixed
      union all select n, key, 1 as place from (${others}) as others
    ) as found group by n order by min(place) limit ${MAX_HITS + 1}`

  /**
   * Reads a page of what has one of these names, and of the rows with these numbers. Unless told to keep a table, SQLite
   * computes it each time that it is named.
   */
  const read = (
    { named, more }: { named: string; more: string },
    { key, ids, app, cut }: { key: string; ids: number[]; app: number; cut: Cut },
  ): Page => {
    const others = `union select n, ${cut.column} as key
      from json_each(@ids) cross join listing on n = cast(value as bigint) and app = @app`
    const source = {
      tables: `trigrams as materialized (select ${grams.n} as n ${grams.found} limit ${MAX_TRIGRAM_HITS + 1}),
        named as materialized (${named}), hits as materialized (
        select n, key from (select n, key from named limit ${MAX_HITS}) as names ${ids.length > 0 ? others : ''})`,
      summary: `(select count(*) from hits) as total, (select count(*) from named) as found, ${more} as more`,
      values: {
        ...{ app, ids: JSON.stringify(ids) },
        ...{ key, end: endOf(key), phrase: grams.phraseOf(key) },
      },
    }
    return readPage(source, cut)
  }

  /** Which of these rows have a name that matches. */
  const named = (places: Place[], key: string, { app }: Filtered): Set<number> => {
    if (key === '') return new Set()
    const query = `select n from json_each(@rows) cross join listing on n = cast(value as bigint) and app = @app
      where instr(name, @key) > 0`
    const rows = JSON.stringify(places.map(({ n }) => n))
    return new Set(client.prepare<[object], number>(query).pluck().all({ rows, key, app }))
  }

  return {
    search(text, filtered, cut) {
      const { column } = cut
      const [key, ids] = [fold(text), byId(text, filtered)]
      const { app } = filtered
      const page = (named: string, more = '0') => read({ named, more }, { key, ids, app, cut })
      const { length } = Array.from(key)
      if (length === 0)
        return complete(page(`select n, ${column} as key from listing where app = @app limit 0`))
      const hits =
        length < 3 || isCrowded(key, filtered)
          ? { ...page(byPrefix(filtered, column, MAX_HITS + 1)), more: 1 }
          : page(withPrefixed(filtered, column, byTrigrams(filtered, column)), hasMore)
      // Enough names begin with the key; or all that contain it were found.
      if (hits.found > MAX_HITS === (hits.more === 1)) return complete(hits)
      if (countRows(filtered) <= MAX_SCANNED_ROWS)
        return complete(page(withPrefixed(filtered, column, byScan(filtered, column))))
      return { ...complete(hits), partial: hits.more === 1 }
    },

    match(places, text, filtered) {
      const found = named(places, fold(text), filtered)
      for (const n of byId(text, filtered)) found.add(n)
      return places.filter(({ n }) => found.has(n))
    },
  }
}

/** After all names that begin with the key. */
const endOf = (key: string): string => `${key}\u{10ffff}`

const complete = ({ rows, total, found }: Page): Hits => ({
  rows,
  total,
  crowded: found > MAX_HITS,
  partial: false,
})
