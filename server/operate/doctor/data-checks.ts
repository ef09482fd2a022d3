import { accessSync, constants, existsSync, readdirSync, statSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import {
  inspectDatabase,
  isLocked,
  readMeta,
  readSessionApps,
  readSecondFactors,
} from '../../../db/data-directory/copy.ts'
import type { Inspected } from '../../../db/data-directory/copy.ts'
import type { App } from '../../../db/store.ts'
import { readMigrations, sqliteBinding } from '../../assets.ts'
import { keyIdOf } from '../../crypto/vault.ts'
import { fingerprintsOf } from '../../data/data-ownership.ts'
import { refuseCopied } from '../../data/moved-store.ts'
import { readKeys, secretKeyFile } from '../../data/secret-key.ts'
import { DAMAGED_CODE } from '../../data/start-error.ts'
import { siteProblems } from '../../oauth/same-site.ts'
import { errorMessage } from '../messages.ts'
import { ok, problem, warning } from './check.ts'
import type { Check, CheckContext, CheckResult } from './check.ts'

/** Checks of the data directory. */
export const dataChecks: Record<string, Check> = {
  'data directory': async ({ dataDir }) => {
    try {
      statSync(join(dataDir, 'broker.db'))
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' && code !== 'ENOTDIR') return judgeAccess(dataDir, code)
      const fix = 'Set BROKER_DATA_DIR to the directory that `serve` uses, or run `serve` once.'
      return problem(`there is no database in ${dataDir}`, fix)
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
    const file = join(dataDir, 'broker.db')
    const binding = sqliteBinding({ dataDir, nativeDir })
    const found = inspect(file, binding)
    const [damage] = found.problems
    if (damage !== undefined) {
      const fix = 'Stop the brokers, keep the directory, and restore the latest backup.'
      return problem(`it is damaged: ${damage}`, fix)
    }
    if (found.migrations.length === 0) {
      const fix =
        'If there was data here, stop the brokers and restore the latest backup. If not, start `serve`, which creates it.'
      return problem('it contains no data of this program', fix)
    }
    const known = readMigrations().map(({ folderMillis }) => folderMillis)
    if (!found.migrations.every((at) => known.includes(at))) {
      return problem('it was written by a newer version of this program', 'Use that version.')
    }
    const copied = judgeCopied(found.meta, dataDir)
    if (copied) return copied
    if (await isLocked(file, binding)) {
      const fix = `End the process that holds it, for example a stuck backup or an SQLite shell: \`fuser -v ${file}\` lists the processes that have it open.`
      return problem('another process has locked it for more than a second', fix)
    }
    return ok(`intact; ${found.connections} connections`)
  },

  'encryption keys': async ({ dataDir, nativeDir, secrets }) => {
    const meta = readMeta(join(dataDir, 'broker.db'), sqliteBinding({ dataDir, nativeDir }))
    return judgeKeys(meta, { dataDir, secrets })
  },

  'second factors': async (config) => {
    const { dataDir, nativeDir, requireSecondFactor, adminPasswords } = config
    if (!adminPasswords) return ok('of the identity provider: nobody signs in with a password')
    const binding = sqliteBinding({ dataDir, nativeDir })
    const admins = readSecondFactors(join(dataDir, 'broker.db'), binding)
    return judgeSecondFactors(admins, requireSecondFactor)
  },

  'sessions of apps': async ({ dataDir, nativeDir, publicUrl }) => {
    const binding = sqliteBinding({ dataDir, nativeDir })
    return judgeSessionApps(readSessionApps(join(dataDir, 'broker.db'), binding), publicUrl)
  },
}

/** @returns a problem, if the store was copied elsewhere or is an unfinished copy; otherwise `null` */
export function judgeCopied(meta: Record<string, string>, place: string): CheckResult | null {
  try {
    refuseCopied(meta, place)
    return null
  } catch (error) {
    const [finding = '', fix = ''] = errorMessage(error).split('\n')
    return problem(finding, `${fix} Until then, no broker starts here.`)
  }
}

/** @param meta of the store */
export function judgeKeys(
  meta: Record<string, string>,
  { dataDir, secrets }: Pick<CheckContext, 'dataDir' | 'secrets'>,
): CheckResult {
  const file = secretKeyFile(dataDir)
  const keys = secrets ?? (existsSync(file) ? readKeys(file) : [])
  const keyIds = keys.map(keyIdOf)
  const missing = fingerprintsOf(meta).filter((id) => !keyIds.includes(id))
  const source = secrets ? 'BROKER_SECRETS' : file
  if (missing.length === 0) return ok(`${source} opens what is stored (${keyIds.join(', ')})`)
  const where = secrets ? 'after a comma' : 'on its own line'
  const fix = `Add it to ${source}, ${where}: the broker won’t start without it. If it is lost, restore a backup whose keys you have, or start with an empty BROKER_DATA_DIR: every user must then connect again.`
  return problem(`${source} lacks the key ${missing.join(' and ')}`, fix)
}

/** @param admins those with a password */
export function judgeSecondFactors(
  admins: { email: string; hasSecondFactor: boolean }[],
  isRequired: boolean,
): CheckResult {
  const lacking = admins.filter(({ hasSecondFactor }) => !hasSecondFactor)
  const names = lacking.map(({ email }) => email).join(', ')
  if (names === '')
    return ok(admins.length === 0 ? 'there are no admins with a password' : 'every admin has one')
  if (!isRequired) return ok(`none required (BROKER_REQUIRE_SECOND_FACTOR); without one: ${names}`)
  return warning(
    `required, but missing for ${names}`,
    'Ask them to sign in and set one up now: until then, anyone with the password can do it.',
  )
}

/** @param apps those with sessions */
export function judgeSessionApps(
  apps: Pick<App, 'id' | 'session' | 'origins'>[],
  publicUrl: string,
): CheckResult {
  const problems = apps.flatMap((app) =>
    siteProblems(app, publicUrl).map((text) => `${app.id}: ${text}`),
  )
  if (problems.length > 0) {
    const fix =
      'Move the app to the domain of BROKER_PUBLIC_URL, or set `app set CLIENT_ID --session token`.'
    return warning(problems.join(' '), fix)
  }
  return ok(apps.length === 0 ? 'no app uses a cookie' : 'cookies may reach the broker')
}

/** Checks owner and permissions of the broker's files. */
export function judgeFiles(dataDir: string): CheckResult {
  const names = ['.', ...readdirSync(dataDir).filter((name) => /^(broker\.db|secret)/.test(name))]
  if (process.platform === 'win32') return judgeFileAccess(dataDir, names) ?? ok(dataDir)
  const { uid, gid } = statSync(dataDir)
  const files = names.flatMap((name) => {
    try {
      const { uid, mode } = statSync(join(dataDir, name))
      return [{ name, uid, mode }]
    } catch {
      // It was removed meanwhile, or `judgeFileAccess` names it.
      return []
    }
  })
  const namesOf = (some: typeof files) => some.map(({ name }) => name).join(', ')
  const foreign = files.filter((file) => file.uid !== uid)
  if (foreign.length > 0) {
    const fix = `As root: chown -R ${uid}:${gid} ${dataDir}. Run commands as the broker’s user from now on.`
    return problem(
      `${namesOf(foreign)} in ${dataDir} belong to another user than the directory`,
      fix,
    )
  }
  const fault = judgeFileAccess(dataDir, names)
  if (fault) return fault
  const wrong = files.filter(({ mode }) => (mode & 0o677) !== 0o600)
  if (wrong.length === 0) return ok(`${dataDir}, accessible only to its owner`)
  const fix = `As the broker’s user: chmod 700 ${dataDir} && chmod 600 ${dataDir}/broker.db* ${dataDir}/secret*`
  const exposed = wrong.filter(({ mode }) => (mode & 0o077) !== 0)
  return exposed.length > 0
    ? problem(`other users on this machine can read ${namesOf(exposed)} in ${dataDir}`, fix)
    : problem(`their owner can’t read and write ${namesOf(wrong)} in ${dataDir}`, fix)
}

/** The first file that this user can't read and write; `null`: none. */
function judgeFileAccess(dataDir: string, names: string[]): CheckResult | null {
  for (const name of names) {
    const path = join(dataDir, name)
    try {
      accessSync(path, constants.R_OK | constants.W_OK)
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      // SQLite removes the log when the last broker stops.
      if (code !== 'ENOENT') return judgeAccess(path, code)
    }
  }
  return null
}

/** @param code the system's error code of the failed access */
export function judgeAccess(path: string, code: string): CheckResult {
  if (code === 'EROFS') {
    const fix =
      'Mount it writable. If the system made it read-only after a disk error, check the disk first.'
    return problem(`${path} is on a read-only file system (${code})`, fix)
  }
  const fix =
    'Run the command as the broker’s user; that user must own the directory and its files.'
  return problem(`${path} can’t be read and written by this user (${code})`, fix)
}

/** Inspects a database file. A file that SQLite can't read counts as damaged. */
function inspect(...file: Parameters<typeof inspectDatabase>): Inspected {
  try {
    return inspectDatabase(...file)
  } catch (error) {
    if (!DAMAGED_CODE.test(String((error as { code?: unknown }).code))) throw error
    return { problems: [errorMessage(error)], migrations: [], meta: {}, connections: 0 }
  }
}

/** File system types of statfs(2) on which SQLite's locks or its log are unreliable. */
const NETWORK_FILE_SYSTEMS: Record<number, string> = {
  0x6969: 'NFS',
  0xff534d42: 'CIFS',
  0xfe534d42: 'SMB',
  0x517b: 'SMB',
  0x01021997: '9P',
  0x65735546: 'FUSE',
  0x00c36400: 'Ceph',
}
const TMPFS = 0x01021994
const OVERLAYFS = 0x794c7630

/** @param type of statfs(2) */
export function judgeFileSystem(type: number): CheckResult {
  const network = NETWORK_FILE_SYSTEMS[type >>> 0]
  if (network !== undefined) {
    const fix = 'Move the data directory to a local disk: with unreliable locks SQLite loses data.'
    return problem(`the data directory is on a network file system (${network})`, fix)
  }
  if (type >>> 0 === TMPFS) {
    return problem(
      'the data directory is in memory (tmpfs)',
      'Move it to a disk: its data is lost at the next restart.',
    )
  }
  if (type >>> 0 === OVERLAYFS) {
    return warning(
      'the data directory is inside the container',
      'Mount a volume there: its data is lost with the container.',
    )
  }
  return ok('local')
}

/** With less, refreshed tokens may soon not be stored. */
const MIN_FREE_BYTES = 100e6

/** @param freeBytes on the disk. @param databaseBytes size of the database */
export function judgeSpace(freeBytes: number, databaseBytes: number): CheckResult {
  const finding = `${Math.floor(freeBytes / 1e6).toLocaleString('en')} MB free, the database has ${Math.ceil(databaseBytes / 1e6).toLocaleString('en')} MB`
  if (freeBytes < MIN_FREE_BYTES)
    return problem(finding, 'Free some space: on a full disk refreshed tokens can’t be stored.')
  if (freeBytes > databaseBytes * 2) return ok(finding)
  return warning(
    finding,
    'Free twice the size of the database: an upgrade and a restore each keep a copy.',
  )
}
