import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Test } from 'tap'
import type { Store } from '../../../../db/store.ts'
import { addApp, buildBroker, connect } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { openDashboard } from './dashboard.ts'

const MINUTE_MS = 60_000

/** Locks the database as another process would. */
function lock(t: Test, { dataDir }: TestBroker): () => void {
  const client = new Database(join(dataDir, 'broker.db'))
  client.exec('begin immediate')
  const unlock = () => void client.close()
  t.teardown(unlock)
  return unlock
}

const pagesOf = (connectionId: string, appId: string, bulkId: number) => [
  ...['', '/users', '/users?q=am', '/apps', '/apps/new', '/keys', '/audit', '/admins', '/account'],
  ...['/account/second-factor', '/bulk', `/bulk/${bulkId}`, `/users/${connectionId}`],
  ...[`/apps/${appId}`, `/apps/${appId}/edit`],
]

t.test('the dashboard is read while the database is locked', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app)
  const { look } = await openDashboard(broker)
  const bulkId = await broker.services.bulks.begin([connectionId], 'test')
  broker.clock.advance(2 * MINUTE_MS)
  const unlock = lock(t, broker)
  const startedAt = performance.now()
  for (const path of pagesOf(connectionId, app.id, bulkId)) {
    const beganAt = performance.now()
    const page = await look(path)
    t.equal(page.status, 200, path)
    t.notMatch(page.url, 'sign-in', path)
    t.ok(performance.now() - beganAt < 1500, `${path} took ${performance.now() - beganAt} ms`)
  }
  t.ok(performance.now() - startedAt < 9000, 'before a locked write is given up')
  unlock()
})

t.test(
  'the dashboard is read on a full disk, and the log says that nothing is stored',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const { connectionId } = await connect(broker, app)
    const { look } = await openDashboard(broker)
    const bulkId = await broker.services.bulks.begin([connectionId], 'test')
    let attempts = 0
    const full = () => {
      attempts++
      return Promise.reject(new Error('database or disk is full'))
    }
    const { touchSession } = broker.services.store
    Object.assign(broker.services.store, { touchSession: full } satisfies Partial<Store>)
    broker.clock.advance(2 * MINUTE_MS)
    for (const path of pagesOf(connectionId, app.id, bulkId)) {
      t.equal((await look(path)).status, 200, path)
    }
    t.ok(attempts > 0)
    t.match(broker.logged.join(''), 'the last use of a session was not stored')
    Object.assign(broker.services.store, { touchSession })
    await look('')
    const [admin] = await broker.services.admins.list()
    const [session] = await broker.services.sessions.list(admin?.id ?? '')
    t.ok(Math.abs((session?.lastSeenAt ?? 0) - broker.clock.now()) < MINUTE_MS, 'stored again')
  },
)

t.test('the number of reads of a page does not grow with its rows', async (t) => {
  const broker = await buildBroker(t)
  const { services } = broker
  const { look } = await openDashboard(broker)
  const calls: string[] = []
  for (const [name, method] of Object.entries(services.store)) {
    if (typeof method !== 'function') continue
    Object.assign(services.store, {
      [name]: (...args: unknown[]) => {
        calls.push(name)
        return (method as (...args: unknown[]) => unknown)(...args)
      },
    })
  }
  const callsOf = async (path: string) => {
    calls.length = 0
    await look(path)
    return [...calls].sort()
  }
  const users = ['amelie', 'bram', 'chloe']
  const grow = async () => {
    const app = await addApp(broker, { name: `App ${users.length}` })
    const user = users.shift()
    broker.standIn.addUser(user ?? '')
    const { connectionId } = await connect(broker, app, { user: user ?? '' })
    return { app, connectionId }
  }
  const first = await grow()
  const bulk = await services.bulks.begin([first.connectionId], 'test')
  const paths = ['/audit', '/apps', '/users', '/bulk', `/bulk/${bulk}`, '', '/admins', '/keys']
  const before = await Promise.all(paths.map(async () => [] as string[]))
  for (const [index, path] of paths.entries()) before[index] = await callsOf(path)
  const ids = [first.connectionId]
  while (users.length > 0) ids.push((await grow()).connectionId)
  for (let n = 0; n < 5; n++) {
    await addApp(broker, { name: `More ${n}` })
    await services.bulks.begin(ids, 'test')
  }
  for (const [index, path] of paths.entries()) {
    t.strictSame(await callsOf(path), before[index], path)
  }
  calls.length = 0
  await services.bulks.begin(ids, 'test')
  t.strictSame(calls, ['addBulk'], 'however many are picked')
})
