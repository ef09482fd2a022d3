import { constants } from 'node:fs'
import {
  chmod,
  mkdir,
  open,
  opendir,
  readdir,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Clock, Random } from '../runtime.ts'
import { createEntryWriter, readEntry, SMALL_BYTES } from './cache-entry.ts'
import type { Entry, EntryWriter } from './cache-entry.ts'

/**
 * The files of the cache: one for each answer, in a folder for each connection. Several processes share them.
 * A file appears under its name when it is complete, and never changes: a crash leaves temporary files only.
 */
export interface CacheDirectory {
  /** Creates the directory. @throws Error with a message for the operator, if other files are in it */
  open(): Promise<void>
  /** A complete entry, or `undefined`. Its file is open until `close()`. */
  read(connectionId: string, name: string): Promise<Entry | undefined>
  /** A new entry, stored once `commit` resolves. */
  create(connectionId: string, name: string): Promise<EntryWriter>
  remove(connectionId: string, name: string): Promise<void>
  /** Removes all entries of a connection. */
  removeConnection(connectionId: string): Promise<void>
  /** The connections that have entries, read in small pieces. */
  connections(): AsyncGenerator<string, void>
  /** Compares the index with the files, which other processes write and remove, and evicts what is too much. */
  scan(signal?: AbortSignal): Promise<void>
  /** Bytes on disk, as far as this process knows. */
  size(): number
}

/** https://bford.info/cachedir: backups leave directories with this file out. */
const TAG_FILE = 'CACHEDIR.TAG'
const TAG = `Signature: 8a477f597d28d172789f06886806bc55
# Copies of answers of Ellipsis Drive, made by Ellipsis Broker. They may be deleted at any time.
`
const TEMPORARY = '.new-'
const CONNECTION_ID = /^[A-Za-z0-9_-]{1,64}$/
const ENTRY_NAME = /^[A-Za-z0-9_-]{43}$/

/** What a small file takes on disk; also bounds the number of entries. */
const BLOCK_BYTES = 4096
/** A temporary file that nobody has written to for so long belongs to a process that was killed. */
const ABANDONED_MS = 10 * 60_000
/** The order of use outlives a restart, accurate to this. */
const TOUCH_INTERVAL_MS = 10 * 60_000
/** After writing this share of the size, a process looks at what other processes have written. */
const SCAN_SHARE = 1 / 8
const SCAN_BATCH_SIZE = 64
/** Can a connection have a folder with this name? */
export const isCacheable = (connectionId: string): boolean => CONNECTION_ID.test(connectionId)

export function createCacheDirectory(dependencies: {
  directory: string
  maxBytes: number
  clock: Pick<Clock, 'now'>
  random: Random
  /** An entry was removed to make room. */
  onEvict: () => void
}): CacheDirectory {
  const { directory, maxBytes, clock, random, onEvict } = dependencies
  let writtenSinceScan = 0
  let scanning: Promise<void> | null = null

  const pathOf = (key: string): string => join(directory, key)
  /** Sizes by path, the least recently used first. */
  const index = new LRUCache<string, number>({
    maxSize: maxBytes,
    sizeCalculation: (bytes) => bytes,
    dispose: (_bytes, key, reason) => {
      if (reason !== 'evict') return
      onEvict()
      void unlink(pathOf(key)).catch(() => undefined)
    },
  })

  const sizeOnDisk = (bytes: number): number =>
    Math.ceil(Math.max(bytes, 1) / BLOCK_BYTES) * BLOCK_BYTES

  const openDirectory = async (): Promise<void> => {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const names = await readdir(directory)
    if (!names.includes(TAG_FILE) && names.some((name) => !name.startsWith(TEMPORARY))) {
      throw new Error(`${directory} holds other files, and the cache deletes its files`)
    }
    await chmod(directory, 0o700)
    if (names.includes(TAG_FILE)) return
    // Another process that starts now must not see the directory with half of the file.
    const temporary = join(directory, TEMPORARY + random(9).toString('base64url'))
    await writeFile(temporary, TAG, { mode: 0o600 })
    await rename(temporary, join(directory, TAG_FILE))
  }

  async function* connections(): AsyncGenerator<string, void> {
    for await (const entry of await opendir(directory)) {
      if (entry.isDirectory() && CONNECTION_ID.test(entry.name)) yield entry.name
    }
  }

  /** Looks at one file; returns what the index should know. */
  const inspect = async (key: string, name: string) => {
    const found = await stat(pathOf(key)).catch(() => undefined)
    if (!found) return undefined
    if (ENTRY_NAME.test(name)) return { key, bytes: sizeOnDisk(found.size), usedAt: found.mtimeMs }
    const isAbandoned = name.startsWith(TEMPORARY) && found.mtimeMs < clock.now() - ABANDONED_MS
    if (isAbandoned) await unlink(pathOf(key)).catch(() => undefined)
    return undefined
  }

  const scanNow = async (signal?: AbortSignal): Promise<void> => {
    writtenSinceScan = 0
    const known = new Set(index.keys())
    // By time of last use, roughly: sorting all files at once would hold the event loop.
    const periods = new Map<number, { key: string; bytes: number }[]>()
    for await (const connectionId of connections()) {
      const names = await readdir(join(directory, connectionId)).catch(() => [])
      for (let at = 0; at < names.length && !signal?.aborted; at += SCAN_BATCH_SIZE) {
        const batch = names.slice(at, at + SCAN_BATCH_SIZE)
        for (const file of await Promise.all(
          batch.map((name) => inspect(`${connectionId}/${name}`, name)),
        )) {
          if (!file) continue
          const isNew = !known.delete(file.key)
          if (!isNew) continue
          const period = Math.floor(file.usedAt / TOUCH_INTERVAL_MS)
          const files = periods.get(period)
          if (files) files.push(file)
          else periods.set(period, [file])
        }
      }
      // Fails unless it is empty.
      await rmdir(join(directory, connectionId)).catch(() => undefined)
    }
    if (signal?.aborted) return
    for (const key of known) {
      const isGone = await stat(pathOf(key)).then(
        () => false,
        () => true,
      )
      if (isGone) index.delete(key)
    }
    for (const period of [...periods.keys()].sort((one, other) => one - other)) {
      for (const [at, { key, bytes }] of (periods.get(period) ?? []).entries()) {
        index.set(key, bytes)
        if (at % 1000 === 999) await setImmediate()
      }
    }
  }

  const scan = (signal?: AbortSignal): Promise<void> =>
    (scanning ??= scanNow(signal).finally(() => (scanning = null)))

  return {
    open: openDirectory,
    connections,
    scan,
    size: () => index.calculatedSize,

    async read(connectionId, name) {
      const key = `${connectionId}/${name}`
      const entry = await readEntry(pathOf(key))
      if (!entry) {
        index.delete(key)
        return undefined
      }
      index.set(key, sizeOnDisk(entry.fileBytes))
      const now = clock.now()
      if (entry.usedAt < now - TOUCH_INTERVAL_MS) {
        await utimes(pathOf(key), now / 1000, now / 1000).catch(() => undefined)
      }
      return entry
    },

    async create(connectionId, name) {
      const folder = join(directory, connectionId)
      const temporary = join(folder, TEMPORARY + random(18).toString('base64url'))
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
      const file = await open(temporary, flags, 0o600).catch(async (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        await mkdir(folder, { recursive: true, mode: 0o700 })
        return open(temporary, flags, 0o600)
      })
      const abort = async (): Promise<void> => {
        await file.close().catch(() => undefined)
        await unlink(temporary).catch(() => undefined)
      }
      return createEntryWriter(file, abort, async (bytes) => {
        // The checksum of a body protects only small ones.
        if (bytes > SMALL_BYTES) await file.datasync()
        await file.close()
        await rename(temporary, join(folder, name))
        index.set(`${connectionId}/${name}`, sizeOnDisk(bytes))
        writtenSinceScan += sizeOnDisk(bytes)
        if (writtenSinceScan > maxBytes * SCAN_SHARE) void scan().catch(() => undefined)
      })
    },

    async remove(connectionId, name) {
      index.delete(`${connectionId}/${name}`)
      await rm(pathOf(`${connectionId}/${name}`), { force: true })
    },

    async removeConnection(connectionId) {
      if (!CONNECTION_ID.test(connectionId)) return
      const folder = join(directory, connectionId)
      const names = await readdir(folder).catch(() => [])
      await rm(folder, { recursive: true, force: true, maxRetries: 3 })
      for (const name of names) index.delete(`${connectionId}/${name}`)
    },
  }
}
