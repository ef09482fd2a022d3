import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import {
  databaseChecks,
  judgeDatabaseClock,
  judgeDurability,
} from '../../server/operate/doctor/database-checks.ts'
import { runChecks } from '../../server/operate/doctor/doctor.ts'
import { processChecks } from '../../server/operate/doctor/process-checks.ts'
import { runtime } from '../../server/runtime.ts'
import { freePort } from '../free-port.ts'
import { buildBroker } from '../helper.ts'
import { createDatabase, noPostgres, query } from '../postgres.ts'
import { startProxy } from '../db/postgres/proxy.ts'
import { addSessionApp } from '../oauth/session/begin.ts'

const diagnose = async (env: Record<string, string>, used = runtime) => {
  const findings = await runChecks(loadConfig(env), used)
  return Object.fromEntries(findings.map(({ check, ...result }) => [check, result]))
}

t.test('doctor checks a PostgreSQL database', { skip: noPostgres }, async (t) => {
  const url = await createDatabase(t)
  const broker = await buildBroker(t, {
    dataDir: t.testdir({}),
    env: { BROKER_DATABASE_URL: url },
  })
  const env = { ...broker.env, BROKER_DATABASE_URL: url.replace('postgres@', 'postgres:hush@') }
  const found = await diagnose(env)
  t.match(found, {
    database: { status: 'ok', finding: /^PostgreSQL 1\d\.\S* .*at 127\.0\.0\.1:\d+\/test_\d+/ },
    durability: { status: 'warning', finding: /fsync is off/ },
    'connection to the database': { status: 'ok', finding: 'not encrypted, on this machine' },
    'clock of the database': { status: 'ok', finding: /^the database is 0\.\d s/ },
    'encryption keys': { status: 'ok' },
    'second factors': { status: 'ok', finding: 'there are no admins with a password' },
    'sessions of apps': { status: 'ok', finding: 'no app uses a cookie' },
    'running brokers': { status: 'ok', finding: `process ${process.pid}` },
  })
  t.notMatch(JSON.stringify(found), 'hush')
  t.notOk('file system' in found, 'of a server')

  await addSessionApp(broker)
  rmSync(join(broker.dataDir, 'secret.key'))
  await query(url, `update processes set host = 'other'`)
  t.match(await diagnose(env), {
    'encryption keys': { status: 'problem', finding: /lacks the key/ },
    'sessions of apps': { finding: /cookie|domain/ },
    'running brokers': { finding: `process ${process.pid} on other` },
  })
  const port = await freePort()
  const look = async (name: string, url: string) =>
    ({ ...databaseChecks, ...processChecks })[name]?.({
      ...loadConfig({ BROKER_DATABASE_URL: url, BROKER_PORT: String(port) }),
      runtime,
    })
  const gone = `postgres://postgres@127.0.0.1:${port}/broker`
  t.match(await look('database', gone), { status: 'problem', finding: /can’t be reached/ })
  const empty = await createDatabase(t)
  t.match(await look('database', empty), { status: 'problem', finding: /no data of this program/ })
  t.match(await look('running brokers', empty), { finding: 'none is running on this database' })
})

t.test('a server that hangs is asked once', { skip: noPostgres }, async (t) => {
  const proxy = await startProxy(t, await createDatabase(t))
  proxy.failAt(1, 'freeze', true)
  const found = await diagnose({
    ...{ BROKER_DATABASE_URL: proxy.url, BROKER_DATA_DIR: t.testdir({}) },
    ...{ BROKER_PUBLIC_URL: 'http://127.0.0.1:9', ELLIPSIS_API_URL: 'http://127.0.0.1:9' },
  })
  t.match(found.database, { status: 'problem', finding: /does not answer/ })
  const others = ['durability', 'sessions of apps', 'running brokers', 'webhooks']
  for (const name of others) t.match(found[name], { finding: 'not checked' }, name)
  t.equal(proxy.count, 1)
})

t.test('judging what a server says', async (t) => {
  const on = { fsync: true, synchronousCommit: 'on', standbyNames: 'FIRST 1 (b)' }
  t.match(judgeDurability(on), { status: 'ok', finding: /commits wait for FIRST 1 \(b\)/ })
  t.match(judgeDurability({ ...on, synchronousCommit: 'local' }), { finding: /for no standby/ })
  t.match(judgeDurability({ ...on, standbyNames: '' }), { finding: /may lose the last ones/ })
  t.match(judgeDatabaseClock(-4.9), {
    status: 'ok',
    finding: 'the database is 4.9 s behind this host',
  })
  t.match(judgeDatabaseClock(5.1), { status: 'warning', finding: /5\.1 s ahead of/ })
})
