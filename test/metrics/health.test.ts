import { join } from 'node:path'
import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Store } from '../../db/store.ts'
import { createCertificateExpiry } from '../../server/operate/certificate.ts'
import { addApp, authorize, buildBroker, connect, freePort, scrape } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { noNginx, startNginx } from '../nginx.ts'
import { cli, serve } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'
import { testClock } from '../clock.ts'
import { Visitor } from '../visitor.ts'

/** The value of a sample; `null` if it is missing. */
async function sample(
  broker: Pick<TestBroker, 'url' | 'env'>,
  name: string,
): Promise<number | null> {
  const line = (await scrape(broker)).split('\n').find((line) => line.startsWith(`${name} `))
  return line === undefined ? null : Number(line.slice(name.length + 1))
}

t.test('readiness, disk and database', async (t) => {
  const broker = await buildBroker(t)
  t.equal(await sample(broker, 'ellipsis_broker_ready'), 1)
  t.ok(Number(await sample(broker, 'ellipsis_broker_disk_free_bytes')) > 0)
  const file = join(broker.dataDir, 'broker.db')
  t.equal(await sample(broker, 'ellipsis_broker_database_bytes'), statSync(file).size)
  t.equal(await sample(broker, 'ellipsis_broker_database_log_bytes'), statSync(`${file}-wal`).size)
})

t.test('while the database is locked, the metrics that need none are served', async (t) => {
  const broker = await buildBroker(t)
  const client = new Database(join(broker.dataDir, 'broker.db'))
  t.teardown(() => client.close())
  client.exec('begin immediate')
  broker.clock.advance(1001)
  t.equal(await sample(broker, 'ellipsis_broker_ready'), 0)
  client.exec('rollback')
  broker.clock.advance(1001)
  t.equal(await sample(broker, 'ellipsis_broker_ready'), 1)

  const never = () => new Promise<never>(() => undefined)
  const { getMeta, countConnections } = broker.services.store
  Object.assign(broker.services.store, {
    getMeta: () => Promise.reject(new Error('locked')),
    countConnections: never,
  } satisfies Partial<Store>)
  const text = await scrape(broker)
  t.match(text, /^ellipsis_broker_ready 1$/m)
  t.notMatch(text, /^ellipsis_broker_(connections|starts_total|last_backup\w+)[ {]/m)
  Object.assign(broker.services.store, { getMeta, countConnections })
  t.equal(await sample(broker, 'ellipsis_broker_connections{status="active"}'), 0)
})

t.test('a backup by another process counts, one that fails does not', async (t) => {
  const broker = await buildBroker(t)
  const read = () => sample(broker, 'ellipsis_broker_last_backup_timestamp_seconds')
  t.equal(await read(), 0)
  const file = join(temporaryFolder(t), 'backup.db')
  const env = { BROKER_DATA_DIR: broker.dataDir }
  const before = Math.floor(Date.now() / 1000)
  t.match(await cli(['backup', file], env), { code: 0 })
  const at = Number(await read())
  t.ok(at >= before && at <= Date.now() / 1000 + 1, String(at))
  t.match(await cli(['backup', file], env), { code: 2 })
  t.equal(await read(), at)
})

t.test('starts are counted across processes, those of commands are not', async (t) => {
  const broker = await buildBroker(t)
  const read = () => sample(broker, 'ellipsis_broker_starts_total')
  t.equal(await read(), 1)
  const { stop } = await serve(t, broker.env)
  await stop()
  t.match(await cli(['app', 'list'], broker.env), { code: 0 })
  t.equal(await read(), 2)
})

t.test('failed connects are counted by reason, and a repeated callback once', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const read = (reason: string) =>
    sample(broker, `ellipsis_broker_failed_connects_total{reason="${reason}"}`)
  for (const reason of ['denied', 'unknown_flow', 'own_client_refused', 'code_refused', 'other']) {
    t.equal(await read(reason), 0, `${reason} is there before its first occurrence`)
  }
  const visitor = new Visitor()
  await connect(broker, app, { visitor })
  t.equal(await read('other'), 0)
  await new Visitor().open(`${broker.url}/callback`)
  t.equal(await read('unknown_flow'), 0, '`doctor` and scanners are no users')
  await new Visitor().open(`${broker.url}/callback?state=x&code=y`)
  t.equal(await read('unknown_flow'), 1)

  broker.standIn.addFault({ endpoint: 'token', kind: 'status', status: 503, times: 1 })
  const { page } = await authorize(broker, app)
  t.match(page.url, /error=temporarily_unavailable/)
  t.equal(await read('upstream_unavailable'), 1)
  broker.standIn.addFault({ endpoint: 'token', kind: 'invalid_grant', times: 1 })
  await authorize(broker, app)
  t.equal(await read('code_refused'), 1)
})

t.test(
  'a refused client of the broker is told by the next scrape, until it is accepted',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const refused = () => sample(broker, 'ellipsis_broker_own_client_refused')
    t.equal(await refused(), 0)
    const [client] = broker.standIn.clients
    const secret = client?.secret ?? ''
    Object.assign(client ?? {}, { secret: 'another' })
    const { page } = await authorize(broker, app)
    t.match(page.url, /error=server_error/)
    t.equal(await refused(), 1)
    const counted = 'ellipsis_broker_failed_connects_total{reason="own_client_refused"}'
    t.equal(await sample(broker, counted), 1)
    broker.standIn.addFault({ endpoint: 'token', kind: 'cut-before', times: 5 })
    await authorize(broker, app)
    t.equal(await refused(), 1, 'an outage says nothing about the client')
    broker.standIn.faults.clear()
    Object.assign(client ?? {}, { secret })
    await connect(broker, app)
    t.equal(await refused(), 0)
  },
)

t.test('a wrong clock is measured, and logged once', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const offset = () => sample(broker, 'ellipsis_broker_clock_offset_seconds')
  t.equal(await offset(), null, 'unknown before the first answer')
  await connect(broker, app)
  t.ok(Math.abs(Number(await offset())) <= 2)
  broker.clock.advance(7_200_000)
  await connect(broker, app)
  await connect(broker, app)
  t.ok(Math.abs(Number(await offset()) - 7200) <= 5)
  const warnings = broker.logged.filter((line) => line.includes('clock is'))
  t.equal(warnings.length, 1)
  t.match(warnings[0], /720\d s ahead of Ellipsis Drive’s clock: set the clock/)
})

t.test(
  'the expiry of the public certificate is looked up at most hourly',
  { skip: noNginx },
  async (t) => {
    const port = await freePort()
    await startNginx(t, { port, path: '', upstream: 'http://127.0.0.1:9' })
    const clock = testClock()
    const expiry = createCertificateExpiry(`https://127.0.0.1:${port}/base`, clock)
    t.equal(expiry(), null)
    while (expiry() === null) await sleep(5)
    const days = (Number(expiry()) - Date.now()) / 86_400_000
    t.ok(days > 1 && days <= 2, `${days} days, as openssl made it`)

    t.equal(createCertificateExpiry('http://127.0.0.1:1', clock)(), null)
    const unreachable = createCertificateExpiry(`https://127.0.0.1:${await freePort()}`, clock)
    t.equal(unreachable(), null)
  },
)
