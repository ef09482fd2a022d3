import * as fs from 'node:fs'
import { syncDirectoryOf } from '../../db/data-directory/files.ts'

/**
 * Puts settings into a `.env`, in the place of those of the same names: all of it, or nothing changes. Who
 * may read it stays; a new one is its owner's alone.
 * @param lines as `NAME=value`
 */
export function putSettings(path: string, lines: string[]): void {
  const isThere = fs.existsSync(path)
  // Behind a link is the file itself.
  const file = isThere ? fs.realpathSync(path) : path
  const names = lines.map((line) => line.slice(0, line.indexOf('=') + 1))
  const before = isThere ? fs.readFileSync(file, 'utf8') : ''
  const kept = before.split('\n').filter((line) => !names.some((name) => line.startsWith(name)))
  const text = [kept.join('\n').trimEnd(), ...lines, ''].join('\n').trimStart()
  const part = `${file}.new`
  fs.rmSync(part, { force: true })
  try {
    const made = fs.openSync(part, 'wx', 0o600)
    try {
      if (isThere) keepAccess(file, made)
      fs.writeFileSync(made, text)
      fs.fsyncSync(made)
    } finally {
      fs.closeSync(made)
    }
    fs.renameSync(part, file)
  } catch (error) {
    fs.rmSync(part, { force: true })
    throw error
  }
  syncDirectoryOf(file)
}

function keepAccess(file: string, made: number): void {
  const { mode, uid, gid } = fs.statSync(file)
  const own = fs.fstatSync(made)
  if (uid !== own.uid || gid !== own.gid) fs.fchownSync(made, uid, gid)
  fs.fchmodSync(made, mode & 0o777)
}
