import { existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { syncDirectoryOf, syncFile } from './files.ts'

/** The new store while it is prepared; not valid yet. */
export const RESTORING = 'broker.db.restoring'
/** The complete new store: once it has this name, it replaces the current one. */
const RESTORED = 'broker.db.restored'
const SUFFIXES = ['', '-wal', '-shm']

/** Has a restore prepared a store that isn't in its place yet? */
const isRestored = (directory: string): boolean => existsSync(join(directory, RESTORED))

/** Is there a store in that directory, or one that a restore has prepared? */
export const hasStore = (directory: string): boolean =>
  existsSync(join(directory, 'broker.db')) || isRestored(directory)

/** Makes the prepared store the valid one: before this nothing has changed, afterwards all has. */
export function commitRestore(directory: string, name = RESTORING): void {
  const prepared = join(directory, name)
  syncFile(prepared)
  renameSync(prepared, join(directory, RESTORED))
  syncDirectoryOf(prepared)
}

/**
 * Moves the current store aside, with a date, and a restored one into its place. Every start does so first, under
 * the start lock: it completes an interrupted restore, or removes what that left behind.
 * @returns where the former store is now; `null`: there was nothing to complete, or no former store
 */
export function completeRestore(directory: string): { replaced: string | null } | null {
  discardRestore(directory)
  if (!isRestored(directory)) return null
  const restored = join(directory, RESTORED)
  // The new file's time, so that a second attempt continues where the first was interrupted.
  const at = statSync(restored).mtime.toISOString().replaceAll(':', '-')
  const current = join(directory, 'broker.db')
  const aside = `${current}.replaced-${at}`
  for (const end of SUFFIXES) {
    if (existsSync(current + end)) renameSync(current + end, aside + end)
  }
  syncDirectoryOf(current)
  renameSync(restored, current)
  syncDirectoryOf(current)
  return { replaced: existsSync(aside) ? aside : null }
}

/** Removes what an unfinished restore has left behind. */
export function discardRestore(directory: string): void {
  for (const end of [...SUFFIXES, '-journal'])
    rmSync(join(directory, RESTORING + end), { force: true })
}
