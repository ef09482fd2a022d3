import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { copyDatabase } from './copy.ts'
import { createFile } from './files.ts'
import { openDatabase } from './open.ts'
import type { Migration } from './open.ts'
import { carryOverChanges, descendsFrom } from './restore-carry-over.ts'
import type { CarriedOver } from './restore-carry-over.ts'
import type { KeyOf } from './restore-admins.ts'
import { commitRestore, completeRestore, discardRestore, RESTORING } from './restore-complete.ts'

export { completeRestore } from './restore-complete.ts'
export type { CarriedOver } from './restore-carry-over.ts'

/** `incomparable`: nothing was done, as it is unknown what was revoked since the backup. */
export type Restored =
  | { done: false; incomparable: true }
  | { done: true; compared: boolean; carried: CarriedOver; replaced: string | null }

/**
 * Replaces the store of a directory by a backup. Call it under the start lock, while nobody has the store open.
 * Until the new store is complete nothing changes; from then on it is valid, and the next start or restore
 * completes what was interrupted.
 * @param options.from when the backup was made, milliseconds
 * @param options.keyOf tells which second factors of the replaced store can be opened here
 * @param options.acceptRevoked continue even if it is unknown what was revoked since
 */
export async function restoreStore(options: {
  file: string
  directory: string
  migrations: Migration[]
  nativeBinding: string | undefined
  from: number
  now: number
  keyOf: KeyOf
  acceptRevoked: boolean
}): Promise<Restored> {
  const { file, directory, migrations, nativeBinding } = options
  discardRestore(directory)
  createFile(join(directory, RESTORING))
  await copyDatabase(file, join(directory, RESTORING), nativeBinding)
  const opening = { directory, migrations, nativeBinding, name: RESTORING }
  const client = await openDatabase(opening)
  let result: { compared: boolean; carried: CarriedOver } | null
  try {
    result = compareAndCarryOver(client, findCurrentStore(directory, nativeBinding), options)
    // One file, without a log file.
    if (result) client.pragma('journal_mode = DELETE')
  } finally {
    client.close()
  }
  if (!result) {
    // It contains tokens.
    discardRestore(directory)
    return { done: false, incomparable: true }
  }
  commitRestore(directory)
  const completed = completeRestore(directory)
  return { done: true, ...result, replaced: completed?.replaced ?? null }
}

/** Compares with what can be read of the replaced store. `null`: too little, and that isn't accepted. */
function compareAndCarryOver(
  client: Database.Database,
  old: string | null,
  options: { from: number; now: number; keyOf: KeyOf; acceptRevoked: boolean },
): { compared: boolean; carried: CarriedOver } | null {
  const descends = old !== null && descendsFrom(client, old)
  if (!descends && !options.acceptRevoked) return null
  try {
    return { compared: descends, carried: carryOverChanges(client, { ...options, old, descends }) }
  } catch (error) {
    const { code = '' } = error as { code?: string }
    if (old === null || !/^SQLITE_(CORRUPT|NOTADB)/.test(code)) throw error
    return compareAndCarryOver(client, null, options)
  }
}

/** The current store, with its log copied into it; `null`: no readable store. */
function findCurrentStore(directory: string, nativeBinding: string | undefined): string | null {
  const path = join(directory, 'broker.db')
  if (!existsSync(path)) return null
  try {
    const client = new Database(path, { fileMustExist: true, timeout: 10, nativeBinding })
    try {
      client.pragma('wal_checkpoint(TRUNCATE)')
      client.prepare('select count(*) from connections').get()
      return path
    } finally {
      client.close()
    }
  } catch {
    return null
  }
}
