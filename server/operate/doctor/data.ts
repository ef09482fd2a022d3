import { accessSync, constants, existsSync, readdirSync, statSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { inspectDatabase } from '../../../db/copy.ts'
import type { Inspected } from '../../../db/copy.ts'
import { listPresent } from '../../../db/presence.ts'
import { readMigrations, sqliteBinding } from '../../assets.ts'
import { keyIdOf } from '../../domain/vault.ts'
import { fingerprintsOf } from '../../ownership.ts'
import { readKeys, secretKeyFile } from '../../secret-key.ts'
import { DAMAGE } from '../../start-error.ts'
import { reasonOf } from '../backup.ts'
import { ok, problem, warning } from './finding.ts'
import type { Check, Told } from './finding.ts'

/** Of the data directory, and who works on it. */
export const dataChecks: Record<string, Check> = {
  'data directory': async ({ dataDir }) => {
    if (!existsSync(join(dataDir, 'broker.db'))) {
      const mend = 'Set BROKER_DATA_DIR to where `serve` works, or run `serve` once.'
      return problem(`there is no database in ${dataDir}`, mend)
    }
    for (const name of ['.', 'broker.db']) {
      const path = join(dataDir, name)
      try {
        accessSync(path, constants.R_OK | constants.W_OK)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        const mend =
          'Run this as the broker’s user; that user must own the directory and its files.'
        return problem(`${path} can’t be written by this user (${code})`, mend)
      }
    }
    const names = ['.', ...readdirSync(dataDir).filter((name) => /^(broker\.db|secret)/.test(name))]
    const open = names.filter((name) => (statSync(join(dataDir, name)).mode & 0o077) !== 0)
    if (open.length === 0 || process.platform === 'win32')
      return ok(`${dataDir}, its owner’s alone`)
    const mend = `As the broker’s user: chmod 700 ${dataDir} && chmod 600 ${dataDir}/broker.db* ${dataDir}/secret.key`
    return problem(`others on this machine can read ${open.join(', ')} in ${dataDir}`, mend)
  },

  'file system': async ({ dataDir }) => judgeFileSystem(statfsSync(dataDir).type),

  'disk space': async ({ dataDir }) => {
    const { bavail, bsize } = statfsSync(dataDir)
    const path = join(dataDir, 'broker.db')
    return judgeSpace(bavail * bsize, existsSync(path) ? statSync(path).size : 0)
  },

  'encryption keys': async ({ dataDir, nativeDir, secrets }) => {
    const file = secretKeyFile(dataDir)
    const keys = secrets ?? (existsSync(file) ? readKeys(file) : [])
    const { meta } = inspectDatabase(
      join(dataDir, 'broker.db'),
      sqliteBinding({ dataDir, nativeDir }),
    )
    const have = keys.map(keyIdOf)
    const missing = fingerprintsOf(meta).filter((id) => !have.includes(id))
    const source = secrets ? 'BROKER_SECRETS' : file
    if (missing.length === 0) return ok(`${source} opens what is stored (${have.join(', ')})`)
    const mend = `Put it back into ${source}; without it what it sealed is lost. \`secret check\` says how much that is.`
    return problem(`${source} lacks the key ${missing.join(' and ')}`, mend)
  },

  database: async ({ dataDir, nativeDir }) => {
    const found = inspect(join(dataDir, 'broker.db'), sqliteBinding({ dataDir, nativeDir }))
    const [fault] = found.problems
    if (fault !== undefined) {
      const mend = 'Stop the brokers, keep the directory, and restore the last backup.'
      return problem(`it is damaged: ${fault}`, mend)
    }
    const known = readMigrations().map(({ folderMillis }) => folderMillis)
    if (!found.migrations.every((at) => known.includes(at))) {
      return problem('a newer version of this program wrote it', 'Use that version.')
    }
    return ok(`whole; ${found.connections} connections`)
  },

  'running brokers': async ({ dataDir, nativeDir }) => {
    const brokers = listPresent(dataDir, sqliteBinding({ dataDir, nativeDir })).filter(
      ({ command }) => command === 'serve',
    )
    if (brokers.length > 0) return ok(brokers.map(({ pid }) => `process ${pid}`).join(', '))
    return warning(
      'none runs on this data directory',
      'Start `serve`, and run `doctor` again beside it.',
    )
  },
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
