import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { openData } from '../../server/data/open-data.ts'
import { StartError } from '../../server/data/start-error.ts'
import { runtime } from '../../server/runtime.ts'
import { command } from '../command.ts'
import { startProxy } from '../db/postgres/proxy.ts'
import { createDatabase, noPostgres } from '../postgres.ts'
import { isLong, size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'

const skip = noPostgres

/** Starts as `serve` does, and stops. Returns the message that it ends with; `null`: it succeeds. */
async function start(url: string, dataDir: string): Promise<string | null> {
  const config = loadConfig({ BROKER_DATABASE_URL: url, BROKER_DATA_DIR: dataDir })
  try {
    const { presence, store, coordination } = await openData(config, runtime, { command: 'serve' })
    await presence.unregister()
    await store.close()
    await coordination.close()
    return null
  } catch (error) {
    if (error instanceof StartError) return error.message
    throw error
  }
}

/** A database with the tables of a broker, and the data directory with its key. */
async function firstStart(t: Test): Promise<{ url: string; dataDir: string }> {
  const [url, dataDir] = [await createDatabase(t), temporaryFolder(t)]
  t.equal(await start(url, dataDir), null)
  return { url, dataDir }
}

/**
 * Cuts the connection that delivers the nth message to the database, for each n (in `npm test`, each odd one) until the work ends before that.
 * @param work returns the message that it ends with; `null`: it succeeds
 * @returns the messages of those that failed
 */
async function cutAtEach(
  t: Test,
  database: () => Promise<string>,
  work: (url: string) => Promise<string | null>,
): Promise<string[]> {
  const failures: string[] = []
  for (let nth = 1; ; nth += size(2, 1)) {
    const proxy = await startProxy(t, await database())
    const isCut = proxy.failAt(nth, 'cut')
    const failure = await work(proxy.url)
    if (!isCut()) return failures
    if (failure !== null) failures.push(failure)
  }
}

const BROKEN = /^The connection to the database \S+ broke: Connection terminated unexpectedly\.\n/
const SILENT = /^The server of the database \S+ does not answer\.\n/

t.test('a connection that breaks during a start ends it with a message', { skip }, async (t) => {
  const { url, dataDir } = await firstStart(t)
  const failures = await cutAtEach(
    t,
    async () => url,
    (url) => start(url, dataDir),
  )
  t.ok(failures.length > 8, `${failures.length} failed`)
  t.same(
    failures.filter((failure) => !BROKEN.test(failure)),
    [],
  )
})

t.test('the same for a first start', { skip: skip || !isLong }, async (t) => {
  const dataDir = temporaryFolder(t)
  const database = () => createDatabase(t)
  const failures = await cutAtEach(t, database, (url) => start(url, dataDir))
  t.ok(failures.length > 30, `${failures.length} failed`)
  t.same(
    failures.filter((failure) => !BROKEN.test(failure)),
    [],
  )
})

t.test('a connection that breaks during a command', { skip }, async (t) => {
  const { url, dataDir } = await firstStart(t)
  const failures = await cutAtEach(
    t,
    async () => url,
    async (url) => {
      const env = { BROKER_DATABASE_URL: url, BROKER_DATA_DIR: dataDir }
      const { code, stderr } = await command(['app', 'list'], env)
      return code === 0 ? null : `${stderr}${code}`
    },
  )
  t.ok(failures.length > 8, `${failures.length} failed`)
  t.same(
    failures.filter((failure) => !BROKEN.test(failure) || !failure.endsWith('\n2')),
    [],
  )
})

t.test('a data directory that can’t be written to', { skip }, async (t) => {
  const file = join(temporaryFolder(t), 'file')
  writeFileSync(file, '')
  const url = await createDatabase(t)
  t.match(await start(url, file), /^The data directory \S+ can’t be read and written\.\n/)
})

t.test('a server that hangs holds up no start for long', { skip }, async (t) => {
  const { url, dataDir } = await firstStart(t)
  const template = new URL(url).pathname.slice(1)
  const step = size(7, 1)
  const starts = Array.from({ length: 42 / step }, async (_, index) => {
    const proxy = await startProxy(t, await createDatabase(t, template))
    proxy.failAt(1 + index * step, 'freeze', true)
    // One that is frozen when it stops has succeeded.
    return (await start(proxy.url, dataDir)) ?? []
  })
  const found = (await Promise.all(starts)).flat()
  t.ok(found.length > 3, `${found.length} failed`)
  t.same(
    found.filter((message) => !SILENT.test(message)),
    [],
  )
})
