import { accessSync, constants, existsSync, readdirSync, statSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { inspectDatabase, readMeta } from '../../../db/data-directory/copy.ts'
import type { Inspected } from '../../../db/data-directory/copy.ts'
import { listProcesses } from '../../../db/data-directory/presence.ts'
import { readMigrations, sqliteBinding } from '../../assets.ts'
import { keyIdOf } from '../../crypto/vault.ts'
import { fingerprintsOf } from '../../data/data-ownership.ts'
import { readKeys, secretKeyFile } from '../../data/secret-key.ts'
import { DAMAGE } from '../../data/start-error.ts'
import { reasonOf } from '../backup.ts'
import { ok, problem, warning } from './finding.ts'
import type { Check, Told } from './finding.ts'

/** Of the data directory, and who works on it. */
export const dataChecks: Record<string, Check> = {
  'data directory': async ({ dataDir }) => {
    try {
      statSync(join(dataDir, 'broker.db'))
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' && code !== 'ENOTDIR') return judgeAccess(dataDir, code)
      const mend = 'Set BROKER_DATA_DIR to where `serve` works, or run `serve` once.'
      return problem(`there is no database in ${dataDir}`, mend)
    }
    return judgeFiles(dataDir)
  },

  'file system': async ({ dataDir }) => judgeFileSystem(statfsSync(dataDir).type),

  'disk space': async ({ dataDir }) => {
    const { bavail, bsize } = statfsSync(dataDir)
    const path = join(dataDir, 'broker.db')
    return judgeSpace(bavail * bsize, existsSync(path) ? statSync(path).size : 0)
  },

  database: async ({ dataDir, nativeDir }) => {
    const found = inspect(join(dataDir, 'broker.db'), sqliteBinding({ dataDir, nativeDir }))
    const [fault] = found.problems
    if (fault !== undefined) {
      const mend = 'Stop the brokers, keep the directory, and restore the last backup.'
      return problem(`it is damaged: ${fault}`, mend)
    }
    if (found.migrations.length === 0) {
      const mend =
        'If there was data here, stop the brokers and restore the last backup. If not, start `serve`, which makes it.'
      return problem('nothing is in it that this program has written', mend)
    }
    const known = readMigrations().map(({ folderMillis }) => folderMillis)
    if (!found.migrations.every((at) => known.includes(at))) {
      return problem('a newer version of this program wrote it', 'Use that version.')
    }
    return ok(`whole; ${found.connections} connections`)
  },

  'encryption keys': async ({ dataDir, nativeDir, secrets }) => {
    const file = secretKeyFile(dataDir)
    const keys = secrets ?? (existsSync(file) ? readKeys(file) : [])
    const meta = readMeta(join(dataDir, 'broker.db'), sqliteBinding({ dataDir, nativeDir }))
    const have = keys.map(keyIdOf)
    const missing = fingerprintsOf(meta).filter((id) => !have.includes(id))
    const source = secrets ? 'BROKER_SECRETS' : file
    if (missing.length === 0) return ok(`${source} opens what is stored (${have.join(', ')})`)
    const how = secrets ? 'after a comma' : 'on a line of its own'
    const mend = `Put it back into ${source}, ${how}: the broker won’t start without it. Where it is lost, restore a backup whose keys you have; otherwise begin with an empty BROKER_DATA_DIR, and every user connects again.`
    return problem(`${source} lacks the key ${missing.join(' and ')}`, mend)
  },

  'running brokers': async ({ dataDir, nativeDir }) => {
    const brokers = listProcesses(dataDir, sqliteBinding({ dataDir, nativeDir })).filter(
      ({ command }) => command === 'serve',
    )
    if (brokers.length > 0) return ok(brokers.map(({ pid }) => `process ${pid}`).join(', '))
    return warning(
      'none runs on this data directory',
      'Start `serve`, and run `doctor` again beside it.',
    )
  },
}

/** The files that the broker works with: whose they are, who can read them, and whether they can be written. */
function judgeFiles(dataDir: string): Told {
  const names = ['.', ...readdirSync(dataDir).filter((name) => /^(broker\.db|secret)/.test(name))]
  for (const name of names) {
    const path = join(dataDir, name)
    try {
      accessSync(path, constants.R_OK | constants.W_OK)
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      // The log goes with the last broker.
      if (code !== 'ENOENT') return judgeAccess(path, code)
    }
  }
  if (process.platform === 'win32') return ok(dataDir)
  const { uid, gid } = statSync(dataDir)
  const files = names.flatMap((name) => {
    const stat = statSync(join(dataDir, name), { throwIfNoEntry: false })
    return stat ? [{ name, uid: stat.uid, mode: stat.mode }] : []
  })
  const list = (some: typeof files) => some.map(({ name }) => name).join(', ')
  const foreign = files.filter((file) => file.uid !== uid)
  if (foreign.length > 0) {
    const mend = `As root: chown -R ${uid}:${gid} ${dataDir}. Run commands as the broker’s user from now on.`
    return problem(`${list(foreign)} in ${dataDir} belong to another user than the directory`, mend)
  }
  const wrong = files.filter(({ mode }) => (mode & 0o677) !== 0o600)
  if (wrong.length === 0) return ok(`${dataDir}, its owner’s alone`)
  const mend = `As the broker’s user: chmod 700 ${dataDir} && chmod 600 ${dataDir}/broker.db* ${dataDir}/secret*`
  const open = wrong.filter(({ mode }) => (mode & 0o077) !== 0)
  return open.length > 0
    ? problem(`others on this machine can read ${list(open)} in ${dataDir}`, mend)
    : problem(`their owner can’t read and write ${list(wrong)} in ${dataDir}`, mend)
}

/** @param code the system's, of what kept this user from it */
export function judgeAccess(path: string, code: string): Told {
  if (code === 'EROFS') {
    const mend =
      'Mount it so that it can be written; after a fault of the disk, look at that first.'
    return problem(`${path} is on a file system that takes no writes (${code})`, mend)
  }
  const mend = 'Run this as the broker’s user; that user must own the directory and its files.'
  return problem(`${path} can’t be read and written by this user (${code})`, mend)
}

/** What a file is found to be; one that SQLite can't even read is damaged too. */
function inspect(...file: Parameters<typeof inspectDatabase>): Inspected {
  try {
    return inspectDatabase(...file)
  } catch (error) {
    if (!DAMAGE.test(String((error as { code?: unknown }).code))) throw error
    return { problems: [reasonOf(error)], migrations: [], meta: {}, connections: 0 }
  }
}

/** Types of statfs(2) on which SQLite's locks or its log can't be relied on. */
const NETWORK: Record<number, string> = {
  0x6969: 'NFS',
  0xff534d42: 'CIFS',
  0xfe534d42: 'SMB',
  0x517b: 'SMB',
  0x01021997: '9P',
  0x65735546: 'FUSE',
  0x00c36400: 'Ceph',
}

export function judgeFileSystem(type: number): Told {
  const network = NETWORK[type >>> 0]
  if (network !== undefined) {
    const mend =
      'Move the data directory to a local disk: SQLite loses data where locks are not exact.'
    return problem(`the data directory is on a network file system (${network})`, mend)
  }
  if (type >>> 0 === 0x01021994) {
    return problem(
      'the data directory is in memory (tmpfs)',
      'Move it to a disk: it is lost with the next restart.',
    )
  }
  if (type >>> 0 === 0x794c7630) {
    return warning(
      'the data directory is in a container’s own layer',
      'Mount a volume there: it is lost with the container.',
    )
  }
  return ok('local')
}

export function judgeSpace(free: number, size: number): Told {
  const text = `${Math.floor(free / 1e6).toLocaleString('en')} MB free, the database has ${Math.ceil(size / 1e6).toLocaleString('en')} MB`
  if (free < 100e6)
    return problem(text, 'Make room: a full disk keeps refreshed tokens from being stored.')
  if (free > size * 2) return ok(text)
  return warning(text, 'Make room for as much again twice: an upgrade and a restore keep a copy.')
}
