import { MARKS, copiedTables } from '../../db/copy/tables.ts'
import type { CopiedTable, Row } from '../../db/copy/tables.ts'
import type { TableReader, TableWriter } from '../../db/copy/side.ts'
import { sealedColumns } from '../../db/sql/reseal.ts'
import type { Vault } from '../crypto/vault.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import { movedTo } from '../data/moved-store.ts'
import type { Moved } from '../data/moved-store.ts'
import type { Clock } from '../runtime.ts'
import { CommandError, formatMessage } from './messages.ts'
import { limitRate } from './rotate-secrets.ts'

const PROGRESS_INTERVAL_MS = 2000

interface Copy {
  source: TableReader
  target: TableWriter
  vault: Vault
  /** The keys' file or setting, for people. */
  keySource: string
  clock: Clock
  /** Prints progress. */
  report: (text: string) => void
}

type Meta = Record<string, string>

/** What an unfinished copy says of itself. */
interface Mark {
  /** Id of the store that is copied. */
  store: string
  /** Of that store; empty: the copy differs from it. */
  version: string
  /** The rows of each table that was found to be the same on both sides. */
  checked: Record<string, number>
}

/**
 * `store copy`: copies a store to another engine, checks the copy, and lets brokers serve the copy only. No process
 * may serve either store meanwhile: call it under the start locks of both.
 *
 * It copies the rows of the tables, not records through the contract of the store: both engines have the same tables,
 * so a copy of all of them is complete by construction (they are listed from the schema), exact, and fast. What was
 * appended survives a kill, so the next run continues after the last row of each table, unless the source was written
 * to since. The order at the end matters: the source is marked as moved before the copy can be served, so at no moment
 * can both.
 * @returns the message to print
 * @throws CommandError
 */
export async function copyStore(copy: Copy): Promise<string> {
  const { source, target, clock } = copy
  const [from, to] = [await source.readMeta(), await target.readMeta()]
  checkSource(copy, from)
  const values = { from: source.name, to: target.name, keys: fingerprintsOf(from).join(', ') }
  const isUnfinished = to[MARKS.unfinished] !== undefined
  if (movedTo(from) && !isUnfinished && isSame(from, to))
    return formatMessage('store.copy.done-before', values)
  const mark: Mark = { store: from.store_id ?? '', version: source.version, checked: {} }
  mark.checked = await prepareTarget(copy, from, to, mark)
  await target.setUnfinished(JSON.stringify(mark))

  const rows = await copyRows(copy)
  const hashed = await verify(copy, rows === 0 ? mark : { ...mark, checked: {} })
  await checkKey(copy)
  copy.report('Writing the indexes of the lists …')
  await target.derive(await source.lastIds())
  const moved: Moved = { to: target.name, at: new Date(clock.now()).toISOString() }
  if (!movedTo(from)) await source.setMoved(JSON.stringify(moved))
  await target.complete()
  return formatMessage('store.copy.done', { ...values, rows, hashed, tables: copiedTables.length })
}

const isSame = (one: Meta, other: Meta): boolean =>
  one.store_id !== undefined && one.store_id === other.store_id

/** @throws CommandError if the source can't be copied to this target */
function checkSource({ source, target, vault, keySource }: Copy, meta: Meta): void {
  const from = source.name
  if (meta[MARKS.unfinished] !== undefined)
    throw new CommandError('store.copy.unfinished-source', { from })
  const moved = movedTo(meta)
  if (moved && moved.to !== target.name)
    throw new CommandError('store.copy.moved', { from, ...moved })
  const missing = fingerprintsOf(meta).filter((id) => !vault.keyIds().includes(id))
  if (missing.length > 0) throw keyMissing(from, keySource, missing)
}

/**
 * Empties the target if it has another copy of this store.
 * @returns what was checked if the former copy is continued
 * @throws CommandError if it has anything else
 */
async function prepareTarget(
  copy: Copy,
  from: Meta,
  to: Meta,
  mark: Mark,
): Promise<Mark['checked']> {
  const { source, target, report } = copy
  const unfinished = to[MARKS.unfinished]
  const { store, version, checked = {} } = JSON.parse(unfinished ?? '{}') as Partial<Mark>
  const isOwn = unfinished === undefined ? movedTo(to) && isSame(from, to) : store === from.store_id
  if (!isOwn) {
    if (unfinished === undefined && (await isEmpty(target))) return {}
    throw new CommandError('store.copy.not-empty', { to: target.name })
  }
  // Marking the source as moved is a write, too.
  if (version && (version === mark.version || movedTo(from))) {
    report(`Continuing the copy in ${target.name}`)
    return checked
  }
  report(
    unfinished === undefined
      ? `Replacing the former store in ${target.name}`
      : `${source.name} has changed since the copy began: starting again`,
  )
  await target.clear()
  return {}
}

async function isEmpty(target: TableWriter): Promise<boolean> {
  if (Object.keys(await target.readMeta()).length > 0) return false
  for (const table of copiedTables) if (await target.lastKey(table)) return false
  return true
}

async function copyRows({ source, target, clock, report }: Copy): Promise<number> {
  const reportProgress = limitRate(() => clock.now(), PROGRESS_INTERVAL_MS)
  let copied = 0
  for (const [index, table] of copiedTables.entries()) {
    let written = Promise.resolve()
    for await (const rows of source.pages(table, await target.lastKey(table))) {
      // The next page is read while this one is written.
      await written
      written = target.append(table, rows)
      // It is awaited before the next page, and may fail earlier.
      written.catch(() => undefined)
      copied += rows.length
      const place = `table ${index + 1} of ${copiedTables.length}, ${table.name}`
      reportProgress(() => report(`Copied ${copied.toLocaleString('en')} rows (${place}) …`))
    }
    await written
  }
  return copied
}

/**
 * Compares the rows of both sides, except for tables that a former run has compared.
 * @returns how many there are
 * @throws CommandError if they differ
 */
async function verify({ source, target, clock, report }: Copy, mark: Mark): Promise<number> {
  const reportProgress = limitRate(() => clock.now(), PROGRESS_INTERVAL_MS)
  const checked = { ...mark.checked }
  const count = () => Object.values(checked).reduce((sum, rows) => sum + rows, 0)
  for (const table of copiedTables) {
    if (checked[table.name] !== undefined) continue
    const [one, other] = await Promise.all([source.hashOf(table), target.hashOf(table)])
    if (one.hash !== other.hash || one.rows !== other.rows) {
      // The next run starts again.
      await target.setUnfinished(JSON.stringify({ ...mark, version: '' }))
      const counts = { rows: one.rows, copied: other.rows }
      throw new CommandError('store.copy.differs', { table: table.name, ...counts })
    }
    checked[table.name] = one.rows
    await target.setUnfinished(JSON.stringify({ ...mark, checked }))
    reportProgress(() => report(`Checked ${count().toLocaleString('en')} rows …`))
  }
  return count()
}

/** Opens a value of the copy with this host's keys. @throws CommandError */
async function checkKey({ source, target, vault, keySource }: Copy): Promise<void> {
  const sealed = find('sealed')
  for (const { table: name, key, column } of sealedColumns) {
    const table = find(name)
    const row = (await firstRow(target, table, null)) ?? []
    const id = row[table.columns.indexOf(column)]
    if (typeof id !== 'number') continue
    const found = (await firstRow(target, sealed, [id - 1])) ?? []
    const bytes = found[sealed.columns.indexOf('bytes')]
    // The value of a revoked signing key is overwritten.
    if (!(bytes instanceof Uint8Array) || vault.keyOf(bytes) === null) continue
    try {
      vault.open(`${name}/${String(row[table.columns.indexOf(key)])}/${column}`, bytes)
      return
    } catch {
      throw keyMissing(source.name, keySource, vault.keyIds())
    }
  }
}

const keyMissing = (from: string, source: string, ids: string[]): CommandError =>
  new CommandError('store.copy.key-missing', { from, source, fingerprints: ids.join(' and ') })

function find(name: string): CopiedTable {
  const table = copiedTables.find((table) => table.name === name)
  if (!table) throw new Error(`there is no table ${name}`)
  return table
}

async function firstRow(
  side: TableWriter,
  table: CopiedTable,
  after: Row | null,
): Promise<Row | undefined> {
  for await (const [row] of side.pages(table, after)) return row
  return undefined
}

/** `store take-back`: a store that was copied elsewhere can be served again. @returns the message to print */
export async function takeBack(store: TableReader): Promise<string> {
  const moved = movedTo(await store.readMeta())
  if (!moved) return formatMessage('store.take-back.nothing', { place: store.name })
  await store.setMoved('')
  return formatMessage('store.take-back.done', { place: store.name, ...moved })
}
