import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import { cli } from '../processes.ts'
import { size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'
import { Client, clientsOfEach, isRunning, serveWorkers } from '../workers.ts'

async function setUp(t: Test, options: Parameters<typeof buildBroker>[1] = {}) {
  const broker = await buildBroker(t, options)
  return { broker, ...(await connect(broker, await addApp(broker))) }
}

/** Clients that swap without a pause. `stop` returns the number of each outcome, and the clients that failed. */
function startLoad(clients: Client[], token: string) {
  const outcomes: Record<string, number> = {}
  const failed: Client[] = []
  let isStopping = false
  const work = clients.map(async (client) => {
    while (!isStopping) {
      const { port } = client
      const outcome = await client.exchange(token).then(
        ({ status, body }) => (body.includes('"access_token"') ? String(status) : body),
        (error: Error) => {
          failed.push(client)
          return `${error.message} of ${port}`
        },
      )
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
  })
  return {
    outcomes,
    failed,
    async stop() {
      isStopping = true
      await Promise.all(work)
      for (const client of clients) client.close()
    },
  }
}

const clientsOf = (url: string, count: number, options = {}) =>
  Array.from({ length: count }, () => new Client(url, options))

const REPLACEMENTS = Number(process.env.ROUNDS ?? size(2, 5))

t.test(`${REPLACEMENTS} rolling restarts refuse no request`, async (t) => {
  const { broker, brokerToken } = await setUp(t)
  const workers = await serveWorkers(t, broker.env)
  const lasting = startLoad(clientsOf(workers.url, 8), brokerToken)
  const short = startLoad(clientsOf(workers.url, 4, { keepAlive: false }), brokerToken)
  const before = new Set(workers.pids())
  for (let round = 0; round < REPLACEMENTS; round++) {
    const idle = (await clientsOfEach(t, workers)).flat()
    await workers.replace()
    // A worker that drains answers once more on a connection that was idle.
    for (const client of idle)
      t.match(await client.exchange(brokerToken), { status: 200, headers: { connection: 'close' } })
  }
  await Promise.all([lasting.stop(), short.stop()])
  t.strictSame(Object.keys(lasting.outcomes), ['200'])
  t.strictSame(Object.keys(short.outcomes), ['200'])
  t.comment(`${lasting.outcomes['200']} and ${short.outcomes['200']} swaps`)
  await workers.outputHas(/"msg":"stopped"/, REPLACEMENTS * 2)
  t.notOk(workers.pids().some((pid) => before.has(pid)))
  t.notOk([...before].some(isRunning), 'the old workers have ended')
})

t.test('of a killed worker, only its own requests fail', async (t) => {
  const { broker, brokerToken } = await setUp(t)
  const workers = await serveWorkers(t, broker.env)
  const own = await clientsOfEach(t, workers)
  const load = startLoad(own.flat(), brokerToken)
  const [killed = 0] = workers.pids()
  for (let count = 0; count < 100; count++) await own[1]?.[0]?.exchange(brokerToken)
  process.kill(killed, 'SIGKILL')
  await workers.outputHas(/another one replaces it/)
  await workers.outputHas(/"listening"/, 3)
  await load.stop()
  t.ok(load.failed.every((client) => own[0]?.includes(client)))
  t.equal(new Set(load.failed).size, load.failed.length, 'none failed twice')
  const { 200: served = 0, ...others } = load.outcomes
  t.ok(served > 0)
  t.equal(
    Object.values(others).reduce((sum, count) => sum + count, 0),
    load.failed.length,
  )
  t.notMatch(workers.output(), new RegExp(`"worker":(?!${killed})`), 'no other worker ended')
})

const SWAPS = size(100, 1000)

t.test(`${SWAPS} swaps of an expired token over all workers make one call`, async (t) => {
  const { broker, brokerToken } = await setUp(t, {
    switches: { rotation: 'always', tokenLifetime: 30 },
  })
  const workers = await serveWorkers(t, broker.env, { count: 3 })
  const clients = (await clientsOfEach(t, workers)).flat()
  Object.assign(broker.standIn.switches, { tokenLifetime: 3600, tokenDelay: 50 })
  const more = clientsOf(workers.url, SWAPS - clients.length, { keepAlive: false })
  const answers = await Promise.all([...clients, ...more].map((one) => one.exchange(brokerToken)))
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(broker.standIn.calls.refresh, 1)
})

t.test('a revocation in one worker holds at once in all', async (t) => {
  const { broker, brokerToken } = await setUp(t)
  const workers = await serveWorkers(t, broker.env)
  const [ofOne = [], ofOther = []] = await clientsOfEach(t, workers)
  for (const client of [...ofOne, ...ofOther])
    t.equal((await client.exchange(brokerToken)).status, 200)
  const body = new URLSearchParams({ token: brokerToken }).toString()
  t.match(await ofOne[0]?.send('/oauth/revoke', { method: 'POST', body }), { status: 200 })
  const answers = await Promise.all([...ofOther, ...ofOne].map((one) => one.exchange(brokerToken)))
  t.same(new Set(answers.map(({ status }) => status)), new Set([401]))
})

t.test('metrics are sums, never decrease, and wait for no paused worker', async (t) => {
  const { broker, brokerToken } = await setUp(t)
  const workers = await serveWorkers(t, broker.env)
  const token = broker.env.BROKER_METRICS_TOKEN ?? ''
  const read = async () => {
    const client = new Client(workers.url, { keepAlive: false })
    const { body: text } = await client.send('/metrics', { token })
    const value = (name: string) =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')
          .at(-1),
      )
    return {
      swaps: value('ellipsis_broker_swap_seconds_count'),
      connections: value('ellipsis_broker_connections{status="active"}'),
      starts: value('ellipsis_broker_starts_total'),
      build: value(/^ellipsis_broker_build_info\S+/m.exec(text)?.[0] ?? ''),
      memory: value('process_resident_memory_bytes'),
    }
  }
  const all = (await clientsOfEach(t, workers)).flat()
  for (const client of all)
    for (let count = 0; count < 5; count++) await client.exchange(brokerToken)
  const first = await read()
  t.match(first, { swaps: 20, connections: 1, starts: 2, build: 1 })
  const rss = workers.pids().map((pid) => residentBytes(pid))
  t.ok(first.memory > Math.max(...rss) * 1.2, `${first.memory} of ${rss.join()}`)

  await workers.replace()
  await all[0]?.exchange(brokerToken)
  t.match(await read(), { swaps: 21, starts: 2 }, 'those that drain count')
  for (const client of all.slice(1)) await client.exchange(brokerToken)
  await workers.outputHas(/"msg":"stopped"/, 2)
  t.match(await read(), { swaps: 24, starts: 2 }, 'those that ended count')

  const [paused = 0, other = 0] = workers.pids()
  const [ofPaused = [], ofOther = []] = await clientsOfEach(t, workers)
  await ofPaused[0]?.exchange(brokerToken)
  t.match(await read(), { swaps: 25 })
  process.kill(paused, 'SIGSTOP')
  await ofOther[0]?.exchange(brokerToken)
  const startedAt = performance.now()
  t.match(await ofOther[0]?.send('/metrics', { token }), {
    body: /^ellipsis_broker_swap_seconds_count 26$/m,
  })
  t.ok(performance.now() - startedAt < 5000)
  process.kill(paused, 'SIGCONT')
  process.kill(other, 'SIGKILL')
  await workers.outputHas(/"listening"/, 5)
  t.match(
    await read(),
    { swaps: 26, starts: 3 },
    'a killed one counts, and so does its successor’s start',
  )
})

const residentBytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024

t.test('a start that fails says why once', async (t) => {
  const { broker } = await setUp(t)
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const port = String((other.address() as AddressInfo).port)
  const env = { ...broker.env, BROKER_PORT: port, BROKER_WORKERS: '3' }
  const result = await cli(['serve'], env)
  t.equal(result.code, 2)
  t.equal(result.stderr.match(new RegExp(`${port}[^\n]*in use`, 'g'))?.length, 1, result.stderr)
  t.equal(result.stderr.trim().split('\n').length, 3, result.stderr)
  for (const count of ['0', '65', 'many']) {
    const refused = await cli(['serve', '--workers', count], broker.env)
    t.match(refused, { code: 2, stderr: /^--workers is neither auto nor a whole number/ })
    const setting = await cli(['serve'], { ...broker.env, BROKER_WORKERS: count })
    t.match(setting, { code: 2, stderr: /BROKER_WORKERS is neither auto/ })
  }
})

t.test('a signal ends all processes, which finish their requests', async (t) => {
  for (const [signal, code] of [
    ['SIGTERM', 0],
    ['SIGINT', 0],
    ['SIGKILL', null],
  ] as const) {
    const { broker, brokerToken } = await setUp(t, { switches: { tokenLifetime: 30 } })
    const workers = await serveWorkers(t, broker.env)
    const [client] = clientsOf(workers.url, 1)
    broker.standIn.switches.tokenDelay = 1000
    const answer = client?.exchange(brokerToken)
    while (broker.standIn.calls.refresh === 0) await sleep(5)
    const pids = workers.pids()
    // As a service manager or a terminal does.
    if (signal !== 'SIGKILL') for (const pid of pids) process.kill(pid, signal)
    workers.primary.kill(signal)
    t.match(await answer, { status: 200 }, signal)
    await once(workers.primary, 'close')
    t.equal(workers.primary.exitCode, code)
    t.equal(workers.output().match(/"msg":"stopped"/g)?.length, signal === 'SIGKILL' ? 2 : 3)
    while (pids.some(isRunning)) await sleep(20)
    t.notMatch(workers.output(), /another one replaces it/)
  }
})

t.test(
  'a rolling restart loads new settings, and keeps the workers if they are wrong',
  async (t) => {
    const { broker, brokerToken } = await setUp(t)
    const file = join(temporaryFolder(t), 'settings.env')
    const write = (more: string) => writeFileSync(file, `${more}\n`, { mode: 0o600 })
    write('')
    const workers = await serveWorkers(t, broker.env, { arguments: ['--env-file', file] })
    const headers = { 'x-forwarded-for': '203.0.113.9' }
    const [visitor] = clientsOf(workers.url, 1, { keepAlive: false })
    const seenAs = async () => (await visitor?.send('/healthz', { headers }))?.headers['x-seen-as']
    const [client] = clientsOf(workers.url, 1)
    write('BROKER_MIN_TTL=some')
    workers.primary.kill('SIGHUP')
    await workers.outputHas(/the new worker did not start/)
    t.match(workers.output(), /BROKER_MIN_TTL is not a whole number/)
    t.match(await client?.exchange(brokerToken), {
      status: 200,
      headers: { connection: 'keep-alive' },
    })
    t.match(await seenAs(), /^127/)
    write('BROKER_TRUST_PROXY=127.0.0.1')
    await workers.replace()
    t.match(await seenAs(), /^203/)
    t.equal(workers.pids().length, 2, 'the one that did not start is not replaced')
  },
)

t.test('a signal during a rolling restart waits, or ends the workers that start', async (t) => {
  const { broker } = await setUp(t)
  const workers = await serveWorkers(t, broker.env)
  workers.primary.kill('SIGHUP')
  await workers.outputHas(/replacing the workers/)
  workers.primary.kill('SIGHUP')
  await workers.outputHas(/replaced the workers/, 2)
  t.equal(workers.pids().length, 2)
  const pids = workers.pids()
  workers.primary.kill('SIGHUP')
  await workers.outputHas(/replacing the workers/, 3)
  workers.primary.kill('SIGTERM')
  await once(workers.primary, 'close')
  t.equal(workers.primary.exitCode, 0)
  t.notOk(pids.some(isRunning))
})

t.test('the pauses between starts that fail become longer', async (t) => {
  const { broker } = await setUp(t)
  const file = join(temporaryFolder(t), 'settings.env')
  writeFileSync(file, '', { mode: 0o600 })
  const workers = await serveWorkers(t, broker.env, { arguments: ['--env-file', file] })
  writeFileSync(file, 'BROKER_MIN_TTL=some\n')
  process.kill(workers.pids()[0] ?? 0, 'SIGKILL')
  const pausing = /"pauseMs":(\d+),/
  await workers.outputHas(pausing, 4)
  const pauses = [...workers.output().matchAll(new RegExp(pausing, 'g'))].map(([, ms]) =>
    Number(ms),
  )
  const [first = 0] = pauses
  t.ok(first >= 200)
  t.strictSame(pauses.slice(0, 4), [first, first * 2, first * 4, first * 8])
  writeFileSync(file, '')
  await workers.outputHas(/"listening"/, 3)
})

t.test('workers share limits', async (t) => {
  const env = { BROKER_FAILURE_LIMIT: '20', BROKER_WORKERS: '2' }
  const broker = await buildBroker(t, { env })
  const fail = async () =>
    (
      await fetch(`${broker.url}/exchange`, {
        method: 'POST',
        headers: { authorization: 'Bearer x' },
      })
    ).status
  const statuses = []
  for (let count = 0; count < 12; count++) statuses.push(await fail())
  t.same(statuses, [...Array<number>(10).fill(401), 429, 429])
})
