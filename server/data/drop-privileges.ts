import { accessSync, existsSync, lstatSync, realpathSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { build } from '../assets.ts'
import { formatMode, shellWord } from '../config/settings-file.ts'
import type { MessageName } from '../operate/messages.ts'
import { startError } from './start-error.ts'

/** A user and their group, by id. */
interface Owner {
  uid: number
  gid: number
}

/**
 * As root, gives up root's rights for good, for those of the user who controls the data directory. That user can
 * put anything there, such as links and databases, and must not gain anything by a command of root. Does nothing
 * for other users, and if only root controls the directory.
 * @returns the directory's path without links, which that user can't redirect
 * @throws StartError if that is impossible, if that user can't reach the directory or read this program, or if
 *   several users control the directory
 */
export function dropToOwner(directory: string): string {
  if (process.geteuid?.() !== 0) return directory
  const path = realPathOf(directory)
  const owner = findOtherOwner(path)
  if (!owner) return path
  const fail = (name: MessageName, cause: unknown): never => {
    const values = { directory: path, user: String(owner.uid) }
    throw startError(name, values, cause)
  }
  attempt(
    () => become(owner),
    (cause) => fail('start.no-drop', cause),
  )
  attempt(
    () => lstatSync(path, { throwIfNoEntry: false }),
    (cause) => fail('start.owner-unreachable', cause),
  )
  // The binary holds all of its files.
  if (build.binary) return path
  attempt(
    () => accessSync(import.meta.filename),
    (cause) => fail('start.program-unreadable', cause),
  )
  return path
}

function attempt(work: () => unknown, onError: (cause: unknown) => never): void {
  try {
    work()
  } catch (error) {
    onError(error)
  }
}

/** The path without links; what doesn't exist yet stays as it is. */
function realPathOf(path: string): string {
  if (existsSync(path) || dirname(path) === path) return realpathSync(path)
  return join(realPathOf(dirname(path)), path.slice(dirname(path).length))
}

/**
 * The first other user than root who owns a directory of the path, and so everything below; `null`: none.
 * @throws StartError if root owns a directory in which other users can replace what is below
 */
function findOtherOwner(path: string): Owner | null {
  const names = path.split(sep)
  for (const [at] of names.entries()) {
    const prefix = names.slice(0, at + 1).join(sep) || sep
    const stats = lstatSync(prefix, { throwIfNoEntry: false })
    if (stats && stats.uid !== 0) return { uid: stats.uid, gid: stats.gid }
    if (stats && isShared(stats, prefix === path)) {
      const mode = formatMode(stats.mode)
      const values = { directory: path, shared: prefix, mode, command: shellWord(prefix) }
      throw startError('start.directory-shared', values)
    }
  }
  return null
}

const [GROUP_WRITES, OTHERS_WRITE, STICKY] = [0o020, 0o002, 0o1000]

/** Can other users than root put something in the place of what is in root's directory, or, if it is the last, beside it? */
function isShared({ mode, gid }: Stats, isLast: boolean): boolean {
  const isWritable = (mode & OTHERS_WRITE) !== 0 || ((mode & GROUP_WRITES) !== 0 && gid !== 0)
  return isWritable && (isLast || (mode & STICKY) === 0)
}

/** Takes the rights of a user: groups first, as only root may change them. */
function become({ uid, gid }: Owner): void {
  const group = primaryGroupOf(uid)
  if (group === null) process.setgroups?.([])
  else initGroups?.(uid, group)
  // A user without an entry gets the directory's group, but never root's.
  process.setgid?.(group ?? (gid === 0 ? uid : gid))
  process.setuid?.(uid)
}

/** Missing in Node's types. Takes all groups of a user. */
const { initgroups: initGroups } = process as {
  initgroups?: (user: number, extraGroup: number) => void
}

/** `null`: the system doesn't know the user. */
function primaryGroupOf(uid: number): number | null {
  process.seteuid?.(uid)
  try {
    return userInfo().gid
  } catch {
    return null
  } finally {
    process.seteuid?.(0)
  }
}
