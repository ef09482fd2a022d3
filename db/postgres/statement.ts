import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'

/** A statement as PostgreSQL takes it. */
export interface PostgresStatement {
  text: string
  values: unknown[]
  /** The name that it is prepared under: one plan per connection. Empty: it is not kept. */
  name: string
  /** Longer than that, and the network is taken to have lost the answer. Default: see pool.ts */
  timeoutMs?: number
}

/** A parameter in the text of SQLite: its name, or `null` if it has only a position. */
type Parameter = string | null

interface Translated {
  /** The text between the parameters. */
  parts: string[]
  parameters: Parameter[]
}

/** `@name` is the only kind of name; a text in quotes has no parameters. */
const TOKEN = /'(?:[^']|'')*'|\?|@(\w+)/g

/**
 * What differs in the texts that both engines share. Everything else is either the same in both, or a function
 * that the first migration of PostgreSQL defines.
 */
const differences: [RegExp, string][] = [
  // SQLite is told which index to use, and in which order to join; PostgreSQL has statistics.
  [/\bindexed by \w+/g, ''],
  [/\bcross join\b/g, 'join'],
  // PostgreSQL folds names to lower case unless they are quoted.
  [/ as ([a-z]+[A-Z]\w*)/g, ' as "$1"'],
  // An empty text stands for null in a line of values.
  [/coalesce\((\w+), ''\)/g, "coalesce($1::text, '')"],
  // Drizzle names the table, too.
  [/(?<=on conflict \([^)]*)"\w+"\."/g, '"'],
  // Drizzle writes null for an id that the database chooses.
  [/\(null, /g, '(default, '],
]

function translate(sqlite: string): Translated {
  const text = differences.reduce((text, [from, to]) => text.replace(from, to), sqlite)
  const [parts, parameters]: [string[], Parameter[]] = [[], []]
  let end = 0
  for (const { 0: token, 1: name, index } of text.matchAll(TOKEN)) {
    if (token.startsWith("'")) continue
    parts.push(text.slice(end, index))
    parameters.push(name ?? null)
    end = index + token.length
  }
  return { parts: [...parts, text.slice(end)], parameters }
}

/** Texts with lines of values are as many as there are numbers of lines, and each pattern of nulls has its own. */
const MAX_TEXTS = 1000
/** Prepared statements that a connection has, at most. Others are planned each time. */
const MAX_NAMES = 300
/** From this use on, a text has a name. */
const NAMED_USE = 3

const translated = new LRUCache<string, Translated>({ max: MAX_TEXTS })

/**
 * Names of statements: the same name for the same text, from its third use on. Empty: none yet, or `max` others have
 * one.
 */
export function createNames(max: number): (text: string) => string {
  const uses = new LRUCache<string, number>({ max: MAX_TEXTS })
  const names = new Map<string, string>()
  return (text) => {
    const known = names.get(text)
    if (known !== undefined) return known
    const count = (uses.get(text) ?? 0) + 1
    uses.set(text, count)
    if (count < NAMED_USE || names.size === max) return ''
    const name = createHash('sha256').update(text).digest('base64url').slice(0, 24)
    names.set(text, name)
    return name
  }
}

const nameOf = createNames(MAX_NAMES)

/** Casts, so that PostgreSQL derives no other type from the context. Names are of texts where they can be null. */
function castOf(value: unknown, isNamed: boolean): string {
  if (typeof value === 'number' || typeof value === 'bigint') return '::bigint'
  if (typeof value === 'string' || (value === null && isNamed)) return '::text'
  return value === null ? '' : '::bytea'
}

/** SQLite has no booleans and PostgreSQL's texts no NUL. Columns are of whole numbers, which SQLite does not check. */
function valueOf(value: unknown): unknown {
  if (typeof value === 'boolean') return Number(value)
  if (typeof value === 'number') return Math.round(value)
  if (typeof value === 'string') return value.replaceAll('\0', '\u{fffd}')
  return value ?? null
}

/**
 * Translates a statement of SQLite.
 * @param sqlite its text, with parameters `?` or `@name`
 * @param args values by position, or one object with values by name
 */
export function toPostgres(sqlite: string, args: unknown[]): PostgresStatement {
  let known = translated.get(sqlite)
  if (!known) translated.set(sqlite, (known = translate(sqlite)))
  const { parts, parameters } = known
  const isNamed = parameters.some((name) => name !== null)
  const byName = (isNamed ? args[0] : {}) as Record<string, unknown>
  const positions = new Map<string, string>()
  const values: unknown[] = []
  const add = (value: unknown): string => {
    const position = values.push(value)
    return `$${position}${castOf(value, isNamed)}`
  }
  let text = parts[0] ?? ''
  for (const [index, name] of parameters.entries()) {
    let written = name === null ? undefined : positions.get(name)
    written ??= add(valueOf(name === null ? args[values.length] : byName[name]))
    if (name !== null) positions.set(name, written)
    text += written + (parts[index + 1] ?? '')
  }
  return { text, values, name: nameOf(text) }
}
