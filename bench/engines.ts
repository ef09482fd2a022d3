/**
 * `npm run bench:engines`: swaps a second on SQLite with one and two workers, and on PostgreSQL with one to four
 * brokers, in turns. All of it shares the cores of this machine: the brokers, the load client, which keeps one core
 * busy, and the PostgreSQL server.
 */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, freePort } from '../test/helper.ts'
import { query, startCluster } from '../test/postgres.ts'
import { buildRequest, median, percentilesOf, sendLoad } from './load.ts'
import type { Percentiles } from './load.ts'
import {
  addApp,
  benchEnvironment,
  startBenchStandIn,
  startProcess,
  stopProcess,
  waitUntilReachable,
} from './setup.ts'

const ROUNDS = 5
const CONNECTIONS = 64

await using cleanup = new AsyncDisposableStack()
const print = (line: string) => void process.stdout.write(`${line}\n`)

/** Brokers that serve one store. */
interface Deployment {
  name: string
  /** Of each broker. */
  urls: string[]
  bytes: Buffer
}

const makeDirectory = async () => {
  const directory = await mkdtemp(join(tmpdir(), 'ellipsis-broker-bench-'))
  cleanup.defer(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Starts the brokers of a deployment one after the other, connects a user, and stops the brokers again. */
async function prepare(
  name: string,
  {
    brokers = 1,
    workers = 1,
    databaseUrl,
  }: { brokers?: number; workers?: number; databaseUrl?: string },
) {
  const ports = await Promise.all(Array.from({ length: brokers }, freePort))
  const urls = ports.map((port) => `http://127.0.0.1:${port}`)
  const [url = ''] = urls
  const { apiUrl } = await startBenchStandIn(cleanup, url)
  const environments: Record<string, string>[] = []
  for (const port of ports) {
    const env = benchEnvironment({ url, port, apiUrl }, await makeDirectory())
    environments.push({
      ...env,
      BROKER_WORKERS: String(workers),
      ...(databaseUrl && { BROKER_DATABASE_URL: databaseUrl }),
    })
  }
  const start = async (index: number) => {
    const child = startProcess(cleanup, ['server/main.ts', 'serve'], environments[index] ?? {})
    await waitUntilReachable(urls[index] ?? '')
    return child
  }
  const first = await start(0)
  const key = (index: number) => join(environments[index]?.BROKER_DATA_DIR ?? '', 'secret.key')
  for (let index = 1; index < brokers; index++) await copyFile(key(0), key(index))
  const { app } = await addApp(environments[0] ?? {})
  const { brokerToken } = await connect({ url } as Parameters<typeof connect>[0], app)
  await stopProcess(first)
  const headers = { authorization: `Bearer ${brokerToken}` }
  const bytes = buildRequest(`${url}/exchange`, 'POST', headers)
  const deployment: Deployment = { name, urls, bytes }
  return { ...deployment, startAll: () => Promise.all(urls.map((_url, index) => start(index))) }
}

/** Sends load to all brokers at once. */
async function measure({ urls, bytes }: Deployment, seconds: number) {
  const durations: number[] = []
  const rates = await Promise.all(
    urls.map((url) =>
      sendLoad(url, bytes, {
        seconds,
        connections: CONNECTIONS / urls.length,
        onResponse: (durationMs) => void durations.push(durationMs),
      }),
    ),
  )
  return { rate: rates.reduce((sum, rate) => sum + rate, 0), ...percentilesOf(durations) }
}

// On a disk: by default it is in memory, where a commit waits for nothing.
const folder = await mkdtemp(join(tmpdir(), 'ellipsis-broker-postgres-'))
const cluster = await startCluster({ settings: { fsync: 'on' }, folder })
cleanup.defer(() => cluster.stop())
const databases = [1, 2, 3, 4].map((brokers) => ({ brokers, name: `brokers_${brokers}` }))
for (const { name } of databases) {
  await query(cluster.urlOf('postgres'), `create database ${name} template template0`)
}
const deployments = [
  await prepare('SQLite, 1 process', {}),
  await prepare('SQLite, 2 workers', { workers: 2 }),
]
for (const { brokers, name } of databases) {
  const databaseUrl = cluster.urlOf(name)
  deployments.push(await prepare(`PostgreSQL, ${brokers} brokers`, { brokers, databaseUrl }))
}

const results = new Map<string, (Percentiles & { rate: number })[]>()
for (let round = 0; round < ROUNDS; round++) {
  for (const deployment of deployments) {
    const children = await deployment.startAll()
    await measure(deployment, 1)
    const result = await measure(deployment, 3)
    results.set(deployment.name, [...(results.get(deployment.name) ?? []), result])
    await Promise.all(children.map(stopProcess))
  }
}

print(`Node.js ${process.version}, ${availableParallelism()} cores, ${CONNECTIONS} connections\n`)
print('|  | swaps a second | relative to one process | median, ms | 99th percentile, ms |')
print('| --- | --- | --- | --- | --- |')
const medianOf = (name: string, field: 'rate' | 'median' | 'p99') =>
  median((results.get(name) ?? []).map((result) => result[field]))
const [base] = deployments
for (const { name } of deployments) {
  const rate = medianOf(name, 'rate')
  const ratio = rate / medianOf(base?.name ?? '', 'rate')
  const times = (['median', 'p99'] as const).map((field) => medianOf(name, field).toFixed(1))
  print(`| ${name} | ${rate.toFixed(0)} | ${ratio.toFixed(2)} | ${times.join(' | ')} |`)
}
