import * as fs from 'node:fs'
import { syncDirectoryOf } from '../../db/data-directory/files.ts'

/**
 * Writes settings into a `.env` file, replacing those with the same names. All are written, or nothing
 * changes. An existing file keeps its permissions; a new one is readable only by its owner.
 * @param lines as `NAME=value`
 */
export function writeSettings(path: string, lines: string[]): void {
  const exists = fs.existsSync(path)
  // If the path is a link, write the file it points to.
  const file = exists ? fs.realpathSync(path) : path
  const prefixes = lines.map((line) => line.slice(0, line.indexOf('=') + 1))
  const before = exists ? fs.readFileSync(file, 'utf8') : ''
  const kept = before
    .split('\n')
    .filter((line) => !prefixes.some((prefix) => line.startsWith(prefix)))
  const text = [kept.join('\n').trimEnd(), ...lines, ''].join('\n').trimStart()
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

/** Gives the open file the owner and permissions of another. */
function copyAccess(from: string, descriptor: number): void {
  const { mode, uid, gid } = fs.statSync(from)
  const own = fs.fstatSync(descriptor)
  if (uid !== own.uid || gid !== own.gid) fs.fchownSync(descriptor, uid, gid)
  fs.fchmodSync(descriptor, mode & 0o777)
}
