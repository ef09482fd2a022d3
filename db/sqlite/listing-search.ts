import type Database from 'better-sqlite3'
import { fold } from '../fold.ts'
import type { Filtered } from './listing.ts'

/** Who was found: numbers of `listing_names`; `crowded`: more match, and these are some of them. */
export interface Hits {
  numbers: number[]
  crowded: boolean
}

/** As many hits as are sorted; whoever looks for one among more types another letter. */
const MOST = 1000
/** Hits of a trigram that are tried against the filters. */
const TRIED = 10_000
/** Rows that are rather read one by one: exact, and quick enough. */
const FEW = 10_000

const IDS = `
  select listing.n from (
    select @text as id
    union select connection_id from grants where id = @text
    union select id from connections where account_id = @text and status <> 'revoked'
    union select id from connections where account_id = @text and status = 'revoked'
  ) as wanted cross join listing_names on connection_id = wanted.id
  cross join listing on listing.n = listing_names.n`

/** Finds people by the letters of their names, and by ids. */
export function prepareSearch(
  client: Database.Database,
): (text: string, filtered: Filtered) => Hits {
  const isIn = ({ statuses }: Filtered) => `app = @app and status in (${statuses.join()})`

  const all = (query: string, values: object): number[] =>
    client.prepare(query).pluck().all(values) as number[]

  /** Names that begin with it: a range of the index for each status. */
  const beginning = (key: string, { app, statuses }: Filtered): number[] => {
    const parts = statuses.map(
      (status) => `select * from (select n from listing
        where app = @app and status = ${status} and name >= @key and name < @end
        order by name limit ${MOST + 1})`,
    )
    return all(parts.join(' union all '), { app, key, end: `${key}\u{10ffff}` })
  }

  const oneByOne = (key: string, filtered: Filtered): number[] => {
    const query = `select n from listing where ${isIn(filtered)} and instr(name, @key) > 0`
    return all(`${query} limit ${MOST + 1}`, { app: filtered.app, key })
  }

  const byTrigrams = (key: string, filtered: Filtered): Hits => {
    const phrase = `"${key.replaceAll('"', '""')}"`
    const tried = all(
      `select rowid from listing_grams where listing_grams match @phrase limit ${TRIED + 1}`,
      { phrase },
    )
    const query = `
      select n from json_each(@tried) cross join listing on n = value and ${isIn(filtered)}
      limit ${MOST + 1}`
    const numbers = all(query, { app: filtered.app, tried: JSON.stringify(tried) })
    return { numbers, crowded: tried.length > TRIED || numbers.length > MOST }
  }

  const byName = (key: string, filtered: Filtered): Hits => {
    const { length } = Array.from(key)
    if (length === 0) return { numbers: [], crowded: false }
    if (length < 3) return limited(beginning(key, filtered))
    if (filtered.total <= FEW) return limited(oneByOne(key, filtered))
    const hits = byTrigrams(key, filtered)
    if (!hits.crowded) return hits
    // Whoever knows the whole name finds it, however many others contain it.
    const numbers = [...beginning(key, filtered).slice(0, MOST), ...hits.numbers.slice(0, MOST)]
    return { numbers, crowded: true }
  }

  const byId = (text: string, filtered: Filtered): number[] =>
    all(`${IDS} and ${isIn(filtered)} limit ${MOST}`, { app: filtered.app, text: text.trim() })

  return (text, filtered) => {
    const { numbers, crowded } = byName(fold(text), filtered)
    const ids = byId(text, filtered)
    return { numbers: [...new Set([...ids, ...numbers])], crowded }
  }
}

const limited = (numbers: number[]): Hits => ({
  numbers: numbers.slice(0, MOST),
  crowded: numbers.length > MOST,
})
