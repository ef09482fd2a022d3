import { inspect } from 'node:util'
import type { Millis, Store } from '../../../db/store.ts'
import { commands } from './commands.ts'
import type { Step } from './commands.ts'
import { Context } from './commands/context.ts'
import type { Call } from './commands/context.ts'
import { noIds, observe, rememberIds } from './observe.ts'
import { openReference } from './reference.ts'
import { copyTables, emptyTables, isSame, plain } from './reference/tables.ts'
import type { Tables } from './reference/tables.ts'

const START: Millis = Date.UTC(2026, 6, 1)

/** Calls between two comparisons of everything. */
const CALLS_BETWEEN_OBSERVATIONS = 100

/**
 * Runs a history on an engine and on the reference. Returns the number of calls.
 * @throws Error with all calls of the history, if an answer differs
 */
export async function runHistory(store: Store, history: Step[]): Promise<number> {
  let tables = emptyTables()
  let now = START
  let count = 0
  let observedAt = 0
  const log: string[] = []
  let used = noIds()

  const fail = (text: string): never => {
    throw new Error(`${text}\n\nThe calls until then:\n${log.join('\n')}`)
  }
  const compareAll = async (): Promise<void> => {
    observedAt = count
    const expected = await observe(openReference(tables), used, now)
    const found = await observe(store, used, now)
    for (const [index, [text, answer]] of expected.entries())
      if (!isSame(found[index]?.[1], answer)) fail(difference(text, found[index]?.[1], answer))
    // What is gone was looked up once.
    used = noIds()
    rememberIds(used, tables)
  }

  for (const { waitMs, names, seed } of history) {
    now += waitMs
    const calls = names.flatMap((name) => {
      const call = commands[name]?.(new Context(tables, now, seed + names.indexOf(name) * 7919))
      return call ? [call] : []
    })
    const atOnce = calls.some(({ isComposite }) => isComposite) ? calls.slice(0, 1) : calls
    if (atOnce.length === 0) continue
    count += atOnce.length
    log.push(`${now - START} ms: ${atOnce.map(({ text }) => text).join('\n  and at once: ')}`)
    const answers = await Promise.all(atOnce.map(({ run }) => run(store))).catch((error: unknown) =>
      fail(`A call failed: ${inspect(error)}`),
    )
    tables.newEventIds = await newEventIds(store, tables.lastEventId)
    if (names.includes('addBulk')) tables.newBulkIds = await newBulkIds(store, tables.lastBulkId)
    const outcomes = await runInOrders(tables, atOnce)
    const possible = outcomes.filter((outcome) => isSame(answers, outcome.answers))
    if (!possible[0]) fail(difference('The last answers', answers, outcomes[0]?.answers))
    for (const outcome of possible) rememberIds(used, outcome.tables)
    tables = possible[0]!.tables
    if (possible.length > 1) tables = (await findSame(possible)) ?? tables
    if (count - observedAt >= CALLS_BETWEEN_OBSERVATIONS) await compareAll()
  }
  await compareAll()
  return count

  /** Which of several outcomes with the same answers is that of the engine? */
  async function findSame(possible: { tables: Tables }[]): Promise<Tables | undefined> {
    const found = await observe(store, used, now)
    for (const { tables } of possible) {
      if (isSame(found, await observe(openReference(tables), used, now))) return tables
    }
    return undefined
  }
}

/** Ids of events after one. */
async function newEventIds(store: Store, after: number): Promise<number[]> {
  const ids = []
  for (let id = await store.lastEventId(); id > after; id--)
    if ((await store.timeOfEvent(id)) !== null) ids.unshift(id)
  return ids
}

/** Ids of bulk revocations after one. */
async function newBulkIds(store: Store, after: number): Promise<number[]> {
  const ids = (await store.listBulks(3)).map(({ id }) => id)
  return ids.filter((id) => id > after).reverse()
}

/** The outcomes of calls at once: each order in which they may have run. */
async function runInOrders(
  tables: Tables,
  calls: Call[],
): Promise<{ answers: unknown[]; tables: Tables }[]> {
  const outcomes = []
  for (const order of orders(calls.map((_, index) => index))) {
    const own = calls.length === 1 ? tables : copyTables(tables)
    const answers: unknown[] = []
    for (const index of order) answers[index] = await calls[index]?.run(openReference(own))
    outcomes.push({ answers, tables: own })
  }
  return outcomes
}

const orders = (list: number[]): number[][] =>
  list.length < 2
    ? [list]
    : list.flatMap((first) =>
        orders(list.filter((other) => other !== first)).map((rest) => [first, ...rest]),
      )

const difference = (text: string, found: unknown, expected: unknown): string =>
  `${text}\n${differences('', plain(found), plain(expected)).join('\n')}`

/** The parts in which two answers differ. */
function differences(path: string, found: unknown, expected: unknown): string[] {
  if (isSame(found, expected)) return []
  if (!isRecord(found) || !isRecord(expected))
    return [
      `  ${path}: the engine has ${JSON.stringify(found)}, the reference ${JSON.stringify(expected)}`,
    ]
  const names = new Set([...Object.keys(found), ...Object.keys(expected)])
  return [...names].flatMap((name) => differences(`${path}/${name}`, found[name], expected[name]))
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null
