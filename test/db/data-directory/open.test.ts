import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import Database from 'better-sqlite3'
import t from 'tap'
import { openDatabase, openStore, withStartLock } from '../../../db/data-directory/open.ts'
import { StoreTooNewError } from '../../../db/errors.ts'
import { firstMessage, forkChild } from '../children.ts'
import { migrations, openAt, openTemporary } from '../temporary.ts'
import { size } from '../../size.ts'
import { temporaryFolder } from '../../temporary.ts'

/** Whole, and not one that is being made. */
const isKeptCopy = (name: string) => /^broker\.db\.before-upgrade-.*Z$/.test(name)

/** A process that starts on a directory as the broker does; resolves with what it told. */
async function start(directory: string, mode: string): Promise<unknown> {
  const child = forkChild(mode, directory)
  const exited = once(child, 'exit')
  const told: unknown[] = []
  child.on('message', (message) => told.push(message))
  const [code] = (await exited) as [number]
  return code === 0 ? told[0] : `exit code ${code}`
}

t.test('simultaneous first starts all succeed, on one store', async (t) => {
  const directory = join(t.testdir({}), 'not there yet')
  const told = await Promise.all(
    Array.from({ length: size(4, 6) }, () => start(directory, 'first-start')),
  )
  t.match(told[0], /^made by \d+$/)
  t.equal(new Set(told).size, 1, 'they agree on who made the key')
})

t.test('one process at a time has the start lock, which is released when it dies', async (t) => {
  const directory = temporaryFolder(t)
  const order: string[] = []
  const child = forkChild('hold-lock', directory)
  t.equal(await firstMessage(child), 'held')
  const second = withStartLock(directory, undefined, async () => {
    order.push('second')
    return 2
  })
  order.push('child dies')
  child.kill('SIGKILL')
  t.equal(await second, 2)
  t.strictSame(order, ['child dies', 'second'])
  const fails = withStartLock(directory, undefined, () => Promise.reject(new Error('no')))
  await t.rejects(fails, { message: 'no' })
  t.equal(await withStartLock(directory, undefined, async () => 3), 3, 'freed after a failure')
})

t.test('opening twice in one process doesn’t release the first lock', async (t) => {
  const directory = temporaryFolder(t)
  const order: unknown[] = []
  const first = withStartLock(directory, undefined, async () => {
    order.push(await start(directory, 'try-lock'))
  })
  const second = withStartLock(directory, undefined, async () => order.push('second'))
  await Promise.all([first, second])
  t.strictSame(order, ['SQLITE_BUSY', 'second'])
})

t.test('only the owner can read the files, whatever the umask', async (t) => {
  const directory = join(t.testdir({}), 'made', 'here')
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  const store = await withStartLock(directory, undefined, () => openAt(directory))
  t.teardown(() => store.close())
  await store.setMeta({ a: '1' })
  const mode = (name: string) => (statSync(join(directory, name)).mode & 0o777).toString(8)
  t.equal(mode('.'), '700')
  const files = readdirSync(directory).sort()
  t.strictSame(files, ['broker.db', 'broker.db-shm', 'broker.db-wal', 'start.lock'])
  for (const file of files) t.equal(mode(file), '600', file)
})

t.test('stored data is there after reopening', async (t) => {
  const { store, directory } = await openTemporary(t)
  await store.setMeta({ a: '1' })
  await store.close()
  const again = await openAt(directory)
  t.teardown(() => again.close())
  t.strictSame(await again.getMeta(), { a: '1' })
})

t.test('a store of a newer version is refused and left unchanged', async (t) => {
  const { store, directory } = await openTemporary(t)
  await store.setMeta({ a: '1' })
  await store.close()
  const older = { directory, migrations: migrations.slice(1), nativeBinding: undefined }
  await t.rejects(openStore(older), StoreTooNewError)
  const again = await openAt(directory)
  t.teardown(() => again.close())
  t.strictSame(await again.getMeta(), { a: '1' })
})

t.test(
  'a new migration is applied to a store with data that another process has open',
  async (t) => {
    const { store, directory } = await openTemporary(t)
    await store.setMeta({ a: '1' })
    const last = Math.max(...migrations.map(({ folderMillis }) => folderMillis))
    const sql = ['create table later (id integer)']
    const later = { sql, bps: true, folderMillis: last + 1, hash: 'later' }
    const opening = { directory, migrations: [...migrations, later], nativeBinding: undefined }
    const holder = new Database(join(directory, 'broker.db'))
    t.teardown(() => holder.close())
    holder.exec('begin immediate')
    let isOpen = false
    const opened = openStore(opening).finally(() => (isOpen = true))
    // The copy that is kept is made before anything changes.
    while (!isOpen && !readdirSync(directory).some(isKeptCopy)) await setImmediate()
    t.equal(isOpen, false, 'it waits for the other')
    holder.exec('commit')
    const newer = await opened
    t.teardown(() => newer.close())
    t.strictSame(await newer.getMeta(), { a: '1' })
    t.strictSame(holder.prepare('select * from later').all(), [])
    await t.rejects(openAt(directory), StoreTooNewError)
  },
)

t.test('a path that can’t be a directory is an error', async (t) => {
  const directory = t.testdir({ 'start.lock': {}, file: '' })
  await t.rejects(
    withStartLock(directory, undefined, async () => 1),
    { code: 'SQLITE_CANTOPEN' },
  )
  const within = withStartLock(join(directory, 'file'), undefined, async () => 1)
  await t.rejects(within, { code: 'EEXIST' })
  await t.rejects(withStartLock('/proc', undefined, async () => 1))
})

t.test('a native binding is loaded from the given path', async (t) => {
  const options = { directory: temporaryFolder(t), migrations, nativeBinding: '/no/such/file.node' }
  await t.rejects(openStore(options), /file\.node/)
})

t.test('every connection syncs each commit and clears what it deletes', async (t) => {
  const { directory } = await openTemporary(t)
  // Nobody else configures a database that is there already.
  const options = { directory, migrations, nativeBinding: undefined }
  const client = await openDatabase(options)
  t.teardown(() => client.close())
  const settings = {
    journal_mode: 'wal',
    synchronous: 2,
    fullfsync: 1,
    checkpoint_fullfsync: 1,
    secure_delete: 1,
    foreign_keys: 1,
    temp_store: 2,
  }
  for (const [name, value] of Object.entries(settings)) {
    t.equal(client.pragma(name, { simple: true }), value, name)
  }
  t.ok(Number(client.pragma('busy_timeout', { simple: true })) <= 20, 'it blocks for 20 ms at most')
})
