import { once } from 'node:events'
import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { openData } from '../../server/data/open-data.ts'
import { runtime } from '../../server/runtime.ts'
import { command } from '../command.ts'
import { addApp, buildBroker, connect, exchange, scrape } from '../helper.ts'
import { createDatabase, noPostgres, query } from '../postgres.ts'
import { runCli, serve, waitForOutput } from '../processes.ts'
import { startProxy } from '../db/postgres/proxy.ts'
import { freePort } from '../free-port.ts'
import { temporaryFolder } from '../temporary.ts'

const skip = noPostgres

/** Runs a command on a host of its own with this database. */
const run = (t: Test, url: string, args: string[], env = {}) =>
  command(args, { BROKER_DATA_DIR: temporaryFolder(t), BROKER_DATABASE_URL: url, ...env })

t.test('brokers of several hosts share a database', { skip }, async (t) => {
  const env = { BROKER_DATABASE_URL: await createDatabase(t) }
  const one = await buildBroker(t, { env, dataDir: temporaryFolder(t) })
  const { brokerToken } = await connect(one, await addApp(one))
  t.equal((await exchange(one, brokerToken)).status, 200)
  t.notOk(existsSync(join(one.dataDir, 'broker.db')), 'there is no SQLite')

  const dataDir = temporaryFolder(t)
  await t.rejects(
    buildBroker(t, { env, dataDir }),
    /key is missing on this host: .* has no secret\.key.*Copy secret\.key from another host/s,
  )
  t.notOk(existsSync(join(dataDir, 'secret.key')), 'no other key is made')
  copyFileSync(join(one.dataDir, 'secret.key'), join(dataDir, 'secret.key'))
  const claims = { ...env, BROKER_PUBLIC_URL: one.url, ELLIPSIS_API_URL: one.standInApiUrl }
  const other = await buildBroker(t, { env: claims, dataDir })
  t.equal((await exchange(other, brokerToken)).status, 200)
  t.match(await other.services.processes.others(), [{ pid: process.pid, command: 'serve' }])
  t.equal((await fetch(`${other.url}/readyz`)).status, 200)
  const metrics = await scrape(other)
  t.match(metrics, /^ellipsis_broker_database_bytes [1-9]\d{6,}$/m)
  t.notMatch(metrics, /^ellipsis_broker_disk_free_bytes /m, 'of another host')
})

t.test('simultaneous first starts all come up', { skip }, async (t) => {
  for (let round = 0; round < 3; round++) {
    const url = await createDatabase(t)
    const config = loadConfig({
      BROKER_DATABASE_URL: url,
      BROKER_DATA_DIR: temporaryFolder(t),
    })
    const start = () => openData(config, runtime, { command: 'serve' })
    const opened = await Promise.all([start(), start(), start()])
    const [one] = opened
    t.equal((await one.processes.others()).length, 2)
    const [{ count } = {}] = (await query(url, 'select count(*) from signing_keys')) as {
      count?: string
    }[]
    t.equal(count, '2', 'one set of keys: the active one, and the next')
    for (const { presence, store, coordination } of opened) {
      await presence.unregister()
      await store.close()
      await coordination.close()
    }
  }
})

t.test(
  'a database that fails right after the start does not end the broker',
  { skip },
  async (t) => {
    const proxy = await startProxy(t, await createDatabase(t))
    proxy.cutAfter('into "setup_links"')
    const env = {
      ...{ BROKER_DATABASE_URL: proxy.url, BROKER_DATA_DIR: temporaryFolder(t) },
      ...{ ELLIPSIS_CLIENT_ID: 'id', ELLIPSIS_CLIENT_SECRET: 'secret' },
      ...{ ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3', BROKER_PORT: String(await freePort()) },
    }
    const child = runCli(['serve'], env)
    t.teardown(() => child.kill('SIGKILL'))
    await waitForOutput(child, /whether there is an admin is unknown/)
    proxy.cutAfter(null)
    t.equal((await fetch(`http://127.0.0.1:${env.BROKER_PORT}/healthz`)).status, 200)
    child.kill('SIGTERM')
    t.strictSame(await once(child, 'exit'), [0, null])
  },
)

t.test('a SQLite database that is not used is named, unless it was copied', { skip }, async (t) => {
  const url = await createDatabase(t)
  const dataDir = temporaryFolder(t)
  const sqlite = { BROKER_DATA_DIR: dataDir }
  const env = {
    ...{ ...sqlite, BROKER_DATABASE_URL: url, ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3' },
    ...{ ELLIPSIS_CLIENT_ID: 'id', ELLIPSIS_CLIENT_SECRET: 'secret' },
  }
  const add = ['app', 'add', 'Map', '--redirect-uri', 'https://map.example.com/']
  t.match(await command(add, sqlite), { code: 0 })
  t.match(await command(['store', 'copy', '--to', url], sqlite), { code: 0 })
  const copied = await serve(t, env)
  await copied.stop()
  t.notMatch(copied.output(), 'has a database, too')
  t.match(await command(['store', 'take-back'], sqlite), { code: 0 })
  const other = await serve(t, env)
  await other.stop()
  t.match(other.output(), `${dataDir} has a database, too, which is not used`)
})

t.test('commands work on the database', { skip }, async (t) => {
  const url = await createDatabase(t)
  const list = ['app', 'list']
  t.match(await run(t, url, list), { code: 2, stderr: /has no data of a broker/ })
  t.same(
    await query(url, "select 1 from pg_tables where schemaname = 'public'"),
    [],
    'not even its tables',
  )
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  const add = ['app', 'add', 'Map', '--redirect-uri', 'https://map.example.com/']
  t.match(await run(t, url, add, env), { code: 0 })
  t.match(await run(t, url, list, env), { code: 0, stdout: /Map/, stderr: /Store: 127\.0\.0\.1/ })
  t.match(await run(t, url, list), { code: 2, stderr: /key is missing on this host/ })
  t.match(await run(t, url, ['secret', 'rotate'], env), { code: 0 })
  t.match(await run(t, url, ['secret', 'check'], env), { code: 0 })
  const file = join(env.BROKER_DATA_DIR, 'b.dump')
  t.match(await run(t, url.replace('postgres@', 'postgres:hush@'), ['backup', file], env), {
    code: 2,
    stderr:
      /pg_dump --format=custom --file=\S+b\.dump --dbname="postgres:\/\/postgres@127.*Keep a copy of \S+secret\.key/s,
  })
  t.notOk(existsSync(file))
  t.match(await run(t, url, ['restore', file], env), { code: 2, stderr: /pg_restore --no-owner/ })
})
