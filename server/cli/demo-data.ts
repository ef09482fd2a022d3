import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { explainDataError } from '../data/start-error.ts'
import { UsageError } from './terminal.ts'

/** What a demo remembers for its next start. Everything in it is for development only. */
interface DemoRecord {
  /** The stand-in's address is part of the tokens' validity, so the ports stay. */
  port: number
  adminPassword: string
  /** Registered apps, by what the demo uses them for. */
  apps: Record<string, { id: string; secret: string | null }>
}

/** The directory of a demo. */
export interface DemoData extends DemoRecord {
  directory: string
  /** `BROKER_DATA_DIR`. */
  brokerDirectory: string
  /** See `stateFileIn`. */
  stateFile: string
  isKept: boolean
  /** Writes the record, if the directory is kept. */
  save(): void
  removeIfTemporary(): Promise<void>
}

const DEFAULT_PORT = 4000

/**
 * Opens the directory of a demo.
 * @param kept a directory to keep; `undefined`: a temporary one
 * @param port of the broker; `undefined`: as before
 * @throws UsageError if the kept data is for another port; StartError
 */
export async function openDemoData(
  kept: string | undefined,
  port: number | undefined,
): Promise<DemoData> {
  const directory = kept === undefined ? await makeTemporaryDirectory() : makeDirectory(kept)
  const file = join(directory, 'demo.json')
  const before = readRecord(file)
  if (before && port !== undefined && port !== before.port) {
    throw new UsageError(
      `The data in ${directory} is for --port ${before.port}. Use that port, or another directory.`,
    )
  }
  const record = before ?? {
    port: port ?? DEFAULT_PORT,
    adminPassword: randomBytes(9).toString('base64url'),
    apps: {},
  }
  return {
    ...record,
    directory,
    brokerDirectory: join(directory, 'broker'),
    stateFile: stateFileIn(directory),
    isKept: kept !== undefined,
    save() {
      if (kept !== undefined) writeFileSync(file, JSON.stringify(record, null, 2), { mode: 0o600 })
    },
    async removeIfTemporary() {
      if (kept === undefined) await rm(directory, { recursive: true, force: true })
    },
  }
}

const makeTemporaryDirectory = (): Promise<string> =>
  mkdtemp(join(tmpdir(), 'ellipsis-broker-demo-'))

/** Users and tokens of a stand-in. */
export const stateFileIn = (directory: string): string => join(directory, 'stand-in.json')

/** Makes a directory, unless it is there. Returns its absolute path. @throws StartError */
export function makeDirectory(path: string): string {
  const directory = resolve(path)
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    return directory
  } catch (error) {
    return explainDataError(directory)(error)
  }
}

/** @throws UsageError if the file is damaged */
function readRecord(file: string): DemoRecord | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as DemoRecord
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new UsageError(`${file} can’t be read. Remove the directory, or use another one.`, {
      cause: error,
    })
  }
}
