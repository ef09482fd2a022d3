import * as fs from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { syncDirectoryOf } from '../../db/data-directory/files.ts'
import { parseEnvText } from '../config/environment.ts'
import { findFault } from '../config/settings-file.ts'
import { decodeText } from '../text-encoding.ts'

/**
 * Writes settings into a `.env` file, replacing those with the same names. All are written, or nothing
 * changes. An existing file keeps its permissions and line ends; a new one is readable only by its owner.
 * @param lines as `NAME=value`
 * @throws Error if the file is not UTF-8, if another value would change, if another user can write in the
 *   directory, or as node:fs does
 */
export function writeSettings(path: string, lines: string[]): void {
  const exists = fs.existsSync(path)
  // If the path is a link, write the file it points to.
  const file = exists ? fs.realpathSync(path) : path
  const before = exists ? decodeText(fs.readFileSync(file)) : ''
  const text = withSettings(before, lines)
  const expected = { ...parseEnvText(before), ...parseEnvText(lines.join('\n')) }
  if (!isDeepStrictEqual({ ...parseEnvText(text) }, expected)) {
    throw new Error('another value of the file would change')
  }
  const directory = dirname(resolve(file))
  const fault = findFault(directory, fs.statSync(directory))
  if (fault) throw new Error(`${fault.name} ${fault.problem}`)
  const newFile = `${file}.new`
  fs.rmSync(newFile, { force: true })
  try {
    const descriptor = fs.openSync(newFile, 'wx', 0o600)
    try {
      if (exists) copyAccess(file, descriptor)
      fs.writeFileSync(descriptor, text)
      fs.fsyncSync(descriptor)
    } finally {
      fs.closeSync(descriptor)
    }
    fs.renameSync(newFile, file)
  } catch (error) {
    fs.rmSync(newFile, { force: true })
    throw error
  }
  syncDirectoryOf(file)
}

/** The text with these settings at its end, instead of where they were. */
function withSettings(before: string, lines: string[]): string {
  const names = lines.map((line) => line.slice(0, line.indexOf('=')))
  const assignment = new RegExp(`^\\s*(export\\s+)?(${names.join('|')})\\s*=`)
  const lineEnd = /\r\n?|\n/.exec(before)?.[0] ?? '\n'
  const kept = before.split(/\r\n?|\n/).filter((line) => !assignment.test(line))
  return [kept.join(lineEnd).trimEnd(), ...lines, ''].join(lineEnd).trimStart()
}

/** Gives the open file the owner and permissions of another. */
function copyAccess(from: string, descriptor: number): void {
  const { mode, uid, gid } = fs.statSync(from)
  const own = fs.fstatSync(descriptor)
  if (uid !== own.uid || gid !== own.gid) fs.fchownSync(descriptor, uid, gid)
  fs.fchmodSync(descriptor, mode & 0o777)
}
