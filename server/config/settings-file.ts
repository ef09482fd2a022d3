import { closeSync, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { ENCODING_FIX, EncodingError, decodeText } from '../text-encoding.ts'
import { ConfigError } from './reader.ts'

/** Mode bits of those who may write: the group and everybody. */
const OTHERS_WRITE = 0o022

/** It may hold secrets, so that others should not be able to read it. */
export const UNREADABLE_FIX =
  'Run the command as root or as the user who owns the file, or give it to this user (`chown`).'

/**
 * Reads the text of a settings file, such as `.env`. A user who can write it chooses the data directory, the
 * keys and where tokens are sent, so only root and this user may.
 * @param fix what to do if it can't be read
 * @throws ConfigError if another user could have written it, or if it can't be read; an error with the code
 *   ENOENT if there is no such file
 */
export function readTrustedText(file: string, fix = UNREADABLE_FIX): string {
  try {
    // What is checked is what is read, and not what has the name by then.
    const descriptor = openSync(file, 'r')
    try {
      const link = lstatSync(file)
      const fault = findFault(file, fstatSync(descriptor)) ?? findForeignOwner(file, link)
      if (fault) throw new ConfigError([fault], '')
      return decodeText(readFileSync(descriptor))
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    if (error instanceof ConfigError) throw error
    if (error instanceof EncodingError) {
      throw new ConfigError([{ name: file, problem: error.message, fix: ENCODING_FIX }], '')
    }
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw error
    const advice = code === 'EISDIR' ? 'It is a directory: name a file.' : fix
    throw new ConfigError([{ name: file, problem: `cannot be read (${code}).`, fix: advice }], '')
  }
}

interface Fault {
  name: string
  problem: string
  fix: string
}

/** Why another user may have written a file, and how to change that; `null`: none may have. */
export function findFault(file: string, stats: Stats): Fault | null {
  const foreign = findForeignOwner(file, stats)
  if (foreign) return foreign
  const mode = stats.mode & 0o7777
  if (process.platform === 'win32' || (mode & OTHERS_WRITE) === 0) return null
  return {
    name: file,
    problem: `can be changed by other users: it belongs to user ${stats.uid} and has the mode ${formatMode(mode)}.`,
    fix: `Check what is in it, then run: chmod go-w ${shellWord(file)}`,
  }
}

function findForeignOwner(file: string, { uid, mode }: Stats): Fault | null {
  const self = process.geteuid?.() ?? uid
  if (uid === self || uid === 0) return null
  return {
    name: file,
    problem: `belongs to another user: its owner is user ${uid}, its mode is ${formatMode(mode)}, and this is user ${self}.`,
    fix: `Run the command as that user, or check what is in the file, then run as root: chown -h ${self} ${shellWord(file)}`,
  }
}

/** The permissions in a file's mode, as `chmod` takes them. */
export const formatMode = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0')

/** A path as a word of a shell. */
export const shellWord = (path: string): string =>
  /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
