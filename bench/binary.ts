/**
 * `npm run bench:binary`: the single binary beside a bare Fastify app that is built the same way: how much
 * larger, how soon ready, and how much memory it holds after the same hundred thousand requests.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { bundleOptions, makeBinary } from '../scripts/bundle.ts'
import { freePort } from '../test/helper.ts'
import { load, median, request } from './load.ts'
import { answering, run, startBench } from './setup.ts'

const ROOT = join(import.meta.dirname, '..')
const ROUNDS = 7
const REQUESTS = 100_000
const MEBIBYTE = 1024 * 1024

const BARE = `import fastify from 'fastify'
const app = fastify()
const answer = JSON.parse(process.env.ANSWER ?? '{}')
app.get('/healthz', async () => ({ status: 'ok' }))
app.post('/exchange', async () => answer)
await app.listen({ host: '127.0.0.1', port: Number(process.env.BROKER_PORT) })`

if (import.meta.main) await measureBinary((line) => void process.stdout.write(`${line}\n`))

/** Measures in turns, as machines are shared and noisy, and prints ratios. */
export async function measureBinary(print: (line: string) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ellipsis-broker-binary-'))
  try {
    execFileSync(process.execPath, ['scripts/build.ts', folder], { cwd: ROOT, stdio: 'pipe' })
    const [broker, bare] = [join(folder, 'ellipsis-broker'), join(folder, 'bare')]
    const outfile = join(folder, 'bare.mjs')
    const stdin = { contents: BARE, resolveDir: ROOT }
    await build({ ...bundleOptions, stdin, outfile })
    makeBinary(outfile, bare, {})

    const larger = ((await stat(broker)).size - (await stat(bare)).size) / MEBIBYTE
    print(`size: ${larger.toFixed(1)} MiB larger than a bare Fastify binary   aim 10 MiB`)
    await compareStarts(broker, bare, folder, print)
    await compareMemory(broker, bare, print)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

type Print = (line: string) => void

async function compareStarts(broker: string, bare: string, folder: string, print: Print) {
  const data = join(folder, 'data')
  await start(broker, data)
  const results = { broker: [] as Started[], bare: [] as Started[] }
  for (let round = 0; round < ROUNDS; round++) {
    results.bare.push(await start(bare, data))
    results.broker.push(await start(broker, data))
  }
  const of = (name: keyof typeof results, key: keyof Started) =>
    median(results[name].map((one) => one[key]))
  const line = (what: string, key: keyof Started, unit: string, aim: string) => {
    const [one, other] = [of('broker', key), of('bare', key)]
    const ratio = (one / other).toFixed(2)
    print(
      `${what}: ${one.toFixed(0)} ${unit}, bare ${other.toFixed(0)} ${unit}, ratio ${ratio}${aim}`,
    )
  }
  line('ready', 'milliseconds', 'ms', '   aim 400 ms')
  line('resident when ready', 'mebibytes', 'MiB', '')
}

async function compareMemory(broker: string, bare: string, print: Print): Promise<void> {
  await using cleanup = new AsyncDisposableStack()
  const bench = await startBench(cleanup, broker)
  const headers = { authorization: `Bearer ${bench.brokerToken}` }
  const ANSWER = await (await fetch(`${bench.url}/exchange`, { method: 'POST', headers })).text()
  const BROKER_PORT = String(await freePort())
  const url = `http://127.0.0.1:${BROKER_PORT}`
  const { pid = 0 } = run(cleanup, [], { ANSWER, BROKER_PORT }, bare)
  await answering(url)
  const after = async (url: string, pid: number) => {
    const bytes = request(`${url}/exchange`, 'POST', headers)
    await load(url, bytes, { requests: REQUESTS })
    return resident(pid)
  }
  const [one, other] = [await after(bench.url, bench.pid), await after(url, pid)]
  const ratio = (one / other).toFixed(2)
  print(
    `resident after ${REQUESTS} requests: ${one.toFixed(0)} MiB, bare ${other.toFixed(0)} MiB, ratio ${ratio}   aim 1.4`,
  )
}

interface Started {
  milliseconds: number
  mebibytes: number
}

async function start(program: string, dataDir: string): Promise<Started> {
  const port = await freePort()
  const env = {
    PATH: process.env.PATH,
    ELLIPSIS_CLIENT_ID: 'bench',
    ELLIPSIS_CLIENT_SECRET: 'bench',
    BROKER_PUBLIC_URL: 'http://127.0.0.1:3000',
    BROKER_PORT: String(port),
    BROKER_DATA_DIR: dataDir,
    BROKER_LOG_LEVEL: 'error',
  }
  const startedAt = performance.now()
  const child = spawn(program, ['serve'], { env, stdio: 'inherit' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null)
    if (answer) break
    if (child.exitCode !== null) throw new Error(`${program} ended`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const milliseconds = performance.now() - startedAt
  const mebibytes = await resident(child.pid ?? 0)
  child.kill('SIGTERM')
  await ended
  return { milliseconds, mebibytes }
}

/** Linux tells it in /proc; elsewhere there is no figure. */
async function resident(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024
}
