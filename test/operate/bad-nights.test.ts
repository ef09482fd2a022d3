import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, globSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Test } from 'tap'
import { Client } from 'pg'
import { standInDefaults } from '../../server/stand-in/app.ts'
import { buildBroker, freePort, scrape } from '../helper.ts'
import { outputOf } from '../kill.ts'
import { cli, listening, serve } from '../processes.ts'
import { noPostgres, query, startCluster } from '../postgres.ts'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { temporaryFolder } from '../temporary.ts'
import { connectMany, swapAt } from './load.ts'

/** What an operator reads in each place. */
interface Observed {
  log: string
  readyz: string
  metrics: string
  doctor: string
}

const NO_ANSWER = 'no answer'
const METRICS_TOKEN = 'metrics-token-of-this-test'

/** The table of docs/run.md: cells by what happened. */
const page = readFileSync(join(import.meta.dirname, '../../docs/run.md'), 'utf8')
const [, table = ''] = /## When something is wrong\n([^]*?)\n## /.exec(page) ?? []
const rows = new Map(
  table
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .map(([name = '', ...cells]) => [name, cells]),
)

const escape = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Compares the words that the table quotes with what was observed. */
function compare(t: Test, name: string, observed: Observed): void {
  const cells = rows.get(name) ?? []
  t.equal(cells.length, 5, `${name} is in docs/run.md`)
  for (const [index, place] of (['log', 'readyz', 'metrics', 'doctor'] as const).entries()) {
    const cell = cells[index] ?? ''
    const quoted = [...cell.matchAll(/`([^`]+)`/g)].map(([, words = '']) => words)
    t.equal(
      observed[place] === NO_ANSWER,
      cell === NO_ANSWER,
      `${name}, ${place}: ${observed[place].slice(0, 80)}`,
    )
    t.ok(quoted.length > 0 || cell === NO_ANSWER, `${name}, ${place}: the table quotes something`)
    for (const words of quoted) {
      const pattern = words.split('…').map(escape).join('[^\\n]*')
      t.match(observed[place], new RegExp(pattern), `${name}, ${place}: ${words}`)
    }
  }
}

async function read(url: string): Promise<Pick<Observed, 'readyz' | 'metrics'>> {
  const readyz = await fetch(`${url}/readyz`).then(
    async (answer) => `${answer.status} ${await answer.text()}`,
    () => NO_ANSWER,
  )
  const metrics = await scrape({ url, env: { BROKER_METRICS_TOKEN: METRICS_TOKEN } }).catch(
    () => NO_ANSWER,
  )
  return { readyz, metrics }
}

const diagnose = async (env: Record<string, string>): Promise<string> => {
  const { stdout, stderr } = await cli(['doctor'], env)
  return stdout + stderr
}

async function untilReady(url: string): Promise<void> {
  while ((await fetch(`${url}/readyz`)).status !== 200) {
    await setTimeout(20)
  }
}

/** A broker with connected accounts whose access tokens have expired. */
async function connected(t: Test, accounts: number) {
  const broker = await buildBroker(t, { env: { BROKER_METRICS_TOKEN: METRICS_TOKEN } })
  return { ...broker, devices: await connectMany(broker, accounts) }
}

/** Settings of a broker on an empty directory. */
const settings = async (t: Test): Promise<Record<string, string>> => {
  const port = await freePort()
  return {
    ELLIPSIS_CLIENT_ID: standInDefaults.client.id,
    ELLIPSIS_CLIENT_SECRET: standInDefaults.client.secret,
    ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3',
    BROKER_DATA_DIR: temporaryFolder(t),
    BROKER_PORT: String(port),
    BROKER_METRICS_TOKEN: METRICS_TOKEN,
  }
}

t.test('wrong client secret', async (t) => {
  const { standIn, devices, env } = await connected(t, 1)
  const { url, output } = await serve(t, env)
  Object.assign(standIn.clients[0] ?? {}, { secret: 'changed-upstream' })
  t.equal(await swapAt(url, devices[0]?.token ?? ''), 500)
  compare(t, t.name, { log: output(), ...(await read(url)), doctor: await diagnose(env) })
})

t.test('Ellipsis Drive is down', async (t) => {
  const { standIn, devices, env } = await connected(t, 12)
  const { url, output } = await serve(t, env)
  standIn.addFault({ endpoint: 'refresh', kind: 'cut-before', times: 1000 })
  for (const { token } of devices) t.equal(await swapAt(url, token), 503)
  compare(t, t.name, { log: output(), ...(await read(url)), doctor: await diagnose(env) })
  standIn.faults.clear()
})

const canMount = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status === 0

t.test('disk full', { skip: !canMount && 'needs root, unshare and mount' }, async (t) => {
  const before = await settings(t)
  const first = await serve(t, before)
  await first.stop()
  const dataDir = temporaryFolder(t)
  const env = { ...PROGRAM_ENV, ...before, BROKER_DATA_DIR: dataDir }
  // The log of a first start is long: its file has room for more.
  const mount = `mount -t tmpfs -o size=4m,mode=700 tmpfs ${dataDir}`
  const copy = `cp -a ${before.BROKER_DATA_DIR}/. ${dataDir}`
  const start = `${mount} && ${copy} && exec ${process.execPath} ${PROGRAM} serve`
  const child = spawn('unshare', ['--mount', 'sh', '-c', start], { env })
  const log = outputOf(child)
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await closed
  })
  const url = await listening(child)
  // The disk as the broker sees it.
  const file = `/proc/${child.pid}/root${dataDir}/ballast`
  fill(file)
  const { readyz, metrics } = await read(url)
  const inside = [`--mount=/proc/${child.pid}/ns/mnt`, process.execPath, PROGRAM, 'doctor']
  const { stdout, stderr } = spawnSync('nsenter', inside, { env, encoding: 'utf8' })
  compare(t, t.name, { log: log(), readyz, metrics, doctor: stdout + stderr })
  rmSync(file)
  await untilReady(url)
})

/** Writes until the disk is full. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (let size = 2 ** 20; size >= 1;) {
      try {
        if (writeSync(file, Buffer.alloc(size)) < size) size = Math.floor(size / 2)
      } catch {
        size = Math.floor(size / 2)
      }
    }
  } finally {
    closeSync(file)
  }
}

t.test('database locked', async (t) => {
  const { env, dataDir } = await connected(t, 1)
  const { url, output } = await serve(t, env)
  const other = new Database(join(dataDir, 'broker.db'))
  t.teardown(() => other.close())
  other.exec('begin immediate')
  const { readyz, metrics } = await read(url)
  compare(t, t.name, { log: output(), readyz, metrics, doctor: await diagnose(env) })
  other.exec('rollback')
  await untilReady(url)
})

const [faketime] = globSync('/usr/lib/*/faketime/libfaketime.so.1')

t.test(
  'wrong clock',
  { skip: faketime === undefined && 'apt-get install libfaketime' },
  async (t) => {
    const { env, devices } = await connected(t, 1)
    const wrong = {
      ...env,
      LD_PRELOAD: faketime ?? '',
      FAKETIME: '+7205s',
      DONT_FAKE_MONOTONIC: '1',
    }
    const { url, output } = await serve(t, wrong)
    t.equal(await swapAt(url, devices[0]?.token ?? ''), 200)
    compare(t, t.name, { log: output(), ...(await read(url)), doctor: await diagnose(wrong) })
  },
)

t.test('wrong public URL', async (t) => {
  const env = { ...(await settings(t)), BROKER_PUBLIC_URL: `http://127.0.0.1:${await freePort()}` }
  const { url, output } = await serve(t, env)
  const answer = await fetch(`${url}/connect/app_1`, { redirect: 'manual' })
  t.equal(answer.status, 302)
  await answer.arrayBuffer()
  compare(t, t.name, { log: output(), ...(await read(url)), doctor: await diagnose(env) })
})

t.test('missing key', async (t) => {
  const env = await settings(t)
  const { stop } = await serve(t, env)
  await stop()
  const key = join(env.BROKER_DATA_DIR ?? '', 'secret.key')
  renameSync(key, `${key}.away`)
  const { code, stdout, stderr } = await cli(['serve'], env)
  t.equal(code, 2)
  const answers = await read(`http://127.0.0.1:${env.BROKER_PORT}`)
  compare(t, t.name, { log: stdout + stderr, ...answers, doctor: await diagnose(env) })
  renameSync(`${key}.away`, key)
  await serve(t, env)
})

t.test('port taken', async (t) => {
  const env = await settings(t)
  const { stop } = await serve(t, env)
  await stop()
  const other = createServer((socket) => socket.destroy())
  await once(other.listen(Number(env.BROKER_PORT), '127.0.0.1'), 'listening')
  t.teardown(() => other.close())
  const { code, stdout, stderr } = await cli(['serve'], env)
  t.equal(code, 2)
  const answers = await read(`http://127.0.0.1:${env.BROKER_PORT}`)
  compare(t, t.name, { log: stdout + stderr, ...answers, doctor: await diagnose(env) })
})

t.test('PostgreSQL', { skip: noPostgres }, async (t) => {
  const cluster = await startCluster({ settings: { max_connections: '20' } })
  t.teardown(() => cluster.stop())
  const database = cluster.urlOf('postgres')
  const control = (action: string) =>
    cluster.run('pg_ctl', action, '--pgdata', 'data', '--log', 'log', '--wait', '--mode', 'fast')
  const setReadOnly = async (change: string) => {
    const writable = `${database}?options=-c%20default_transaction_read_only%3Doff`
    await query(writable, `alter system ${change}`)
    await query(writable, 'select pg_reload_conf()')
  }
  const env = { ...(await settings(t)), BROKER_DATABASE_URL: database }
  const { url, output, stop } = await serve(t, env)
  /** After ten seconds, the log has the reason. */
  const untilLogged = async (reason: RegExp) => {
    while (!reason.test(output())) {
      await fetch(`${url}/readyz`)
      await setTimeout(100)
    }
  }
  const observe = async (name: string, log: string) =>
    compare(t, name, { log, ...(await read(url)), doctor: await diagnose(env) })

  await setReadOnly('set default_transaction_read_only = on')
  await untilLogged(/takes no writes.*"not ready"/)
  await observe('PostgreSQL takes no writes', output())
  await setReadOnly('reset default_transaction_read_only')
  await untilReady(url)

  control('stop')
  await untilLogged(/ECONNREFUSED.*"not ready"/)
  await observe('PostgreSQL is down', output())
  // With the options of before.
  control('restart')
  await untilReady(url)
  t.equal(await stop(), 0)

  const others = Array.from({ length: 20 }, () => new Client(database))
  for (const other of others) await other.connect()
  const { code, stdout, stderr } = await cli(['serve'], env)
  t.equal(code, 2)
  await observe('PostgreSQL has too many connections', stdout + stderr)
  for (const other of others) await other.end()
})

t.test('the table has every case of these tests', async (t) => {
  t.equal(rows.size, 11)
})
