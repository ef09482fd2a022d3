import { copyFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Store } from '../../../db/store.ts'
import { addApp, buildBroker, connect, exchange } from '../../helper.ts'

t.test('/readyz reports a read-only store, and missing keys', async (t) => {
  const broker = await buildBroker(t)
  const { store } = broker.services
  const ready = async () => {
    const answer = await fetch(`${broker.url}/readyz`)
    return { status: answer.status, body: (await answer.json()) as object }
  }
  t.match(await ready(), { status: 200, body: { status: 'ready', store: true, keys: true } })

  const { checkWritable, listSigningKeys } = store
  const full = () => Promise.reject(new Error('the disk is full'))
  Object.assign(store, { checkWritable: full } satisfies Partial<Store>)
  t.match(await ready(), { status: 200 }, 'the check is cached for a second')
  broker.clock.advance(1001)
  t.match(await ready(), { status: 503, body: { status: 'not ready', store: false, keys: true } })

  Object.assign(store, { checkWritable, listSigningKeys: async () => [] })
  broker.clock.advance(1001)
  t.match(await ready(), { status: 503, body: { store: true, keys: false } })
  Object.assign(store, { listSigningKeys })
  t.match(await ready(), { status: 200 })
  const lines = (words: string) => broker.logged.filter((line) => line.includes(words)).length
  t.match([lines('"not ready"'), lines('"ready again"')], [2, 1], 'only changes are logged')
  t.equal((await fetch(`${broker.url}/healthz`)).status, 200, 'still alive')
})

t.test(
  '/readyz fails if the database file is moved or replaced, and the log says why',
  async (t) => {
    const broker = await buildBroker(t)
    const file = join(broker.dataDir, 'broker.db')
    const status = async () => {
      broker.clock.advance(1001)
      return (await fetch(`${broker.url}/readyz`)).status
    }
    t.equal(await status(), 200)
    renameSync(file, `${file}.away`)
    t.equal(await status(), 503)
    t.match(broker.logged.join(''), 'is another file than the one that is open, or gone')
    copyFileSync(`${file}.away`, file)
    t.equal(await status(), 503, 'a copy is another file')
    renameSync(`${file}.away`, file)
    t.equal(await status(), 200)
  },
)

t.test(
  'without an active signing key no token is issued, but existing tokens still swap',
  async (t) => {
    const broker = await buildBroker(t)
    const { brokerToken } = await connect(broker, await addApp(broker))
    const { store, keys } = broker.services
    t.equal((await exchange(broker, brokerToken)).status, 200)
    Object.assign(store, { listSigningKeys: async () => [] })
    await t.rejects(keys.current('EdDSA'), { code: 'server_error' })
    t.equal((await exchange(broker, brokerToken)).status, 200)
  },
)

t.test('/readyz says within a second that the database is locked', async (t) => {
  const broker = await buildBroker(t)
  const client = new Database(join(broker.dataDir, 'broker.db'))
  t.teardown(() => client.close())
  const ready = async () => {
    broker.clock.advance(1001)
    const startedAt = performance.now()
    const answer = await fetch(`${broker.url}/readyz`)
    const body = (await answer.json()) as object
    return { status: answer.status, body, ms: performance.now() - startedAt }
  }
  t.match(await ready(), { status: 200 })
  for (const mode of ['immediate', 'exclusive']) {
    client.exec(`begin ${mode}`)
    // A writer that waits before it makes nothing slower.
    const write = broker.services.store.setMeta({ a: mode })
    const { ms, ...answer } = await ready()
    t.match(answer, { status: 503, body: { status: 'not ready', store: false, keys: true } }, mode)
    t.ok(ms < 1000, `${ms} ms`)
    const again = await Promise.all([ready(), ready()])
    for (const { status, ms } of again) t.ok(status === 503 && ms < 1000, `${ms} ms`)
    client.exec('rollback')
    await write
    t.match(await ready(), { status: 200 }, mode)
  }
  t.match(broker.logged.join(''), 'could not be written to within 800 ms')
})
