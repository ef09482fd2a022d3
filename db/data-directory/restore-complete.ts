import { existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { syncDirectoryOf, syncFile } from './files.ts'

/** The new store while it is made; worth nothing. */
export const RESTORING = 'broker.db.restoring'
/** The new store, whole: from when it has this name, it counts, and the one that is there doesn't. */
const RESTORED = 'broker.db.restored'
const ENDS = ['', '-wal', '-shm']

/** Has a restore made a store ready that isn't in its place yet? */
export const isRestored = (directory: string): boolean => existsSync(join(directory, RESTORED))

/** Makes the store that was prepared count. Before this nothing has changed, after it all has. */
export function commitRestore(directory: string): void {
  const made = join(directory, RESTORING)
  syncFile(made)
  renameSync(made, join(directory, RESTORED))
  syncDirectoryOf(made)
}

/**
 * Puts a store that was restored in its place, and what was there aside, with a date. Every start does so
 * first, under the start lock: it completes a restore that was cut off, or removes what it left. Answers where the former store is;
 * `null`: there was nothing to complete, or no former store.
 */
export function completeRestore(directory: string): { replaced: string | null } | null {
  discardRestore(directory)
  if (!isRestored(directory)) return null
  const restored = join(directory, RESTORED)
  // Of the new file's time, so that a second try goes on where the first was cut off.
  const at = statSync(restored).mtime.toISOString().replaceAll(':', '-')
  const current = join(directory, 'broker.db')
  const aside = `${current}.replaced-${at}`
  for (const end of ENDS) {
    if (existsSync(current + end)) renameSync(current + end, aside + end)
  }
  syncDirectoryOf(current)
  renameSync(restored, current)
  syncDirectoryOf(current)
  return { replaced: existsSync(aside) ? aside : null }
}

/** Removes what an earlier try has left that was never finished. */
export function discardRestore(directory: string): void {
  for (const end of [...ENDS, '-journal']) rmSync(join(directory, RESTORING + end), { force: true })
}
