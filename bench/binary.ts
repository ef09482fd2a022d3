/**
 * `npm run bench:binary`: compares the single binary with a bare Fastify app that is built the same way:
 * size, startup time, and resident memory after the same number of requests.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { makeBinary } from '../scripts/binary.ts'
import { bundleOptions } from '../scripts/bundle.ts'
import { freePort } from '../test/helper.ts'
import { buildRequest, median, sendLoad } from './load.ts'
import { startBench, startProcess, stopProcess, waitUntilReachable } from './setup.ts'

const ROOT = join(import.meta.dirname, '..')
const ROUNDS = 7
const REQUESTS = 100_000
const MEBIBYTE_BYTES = 1024 * 1024

const BARE_APP = `import fastify from 'fastify'
const app = fastify()
const answer = JSON.parse(process.env.ANSWER ?? '{}')
app.get('/healthz', async () => ({ status: 'ok' }))
app.post('/exchange', async () => answer)
void app.listen({ host: '127.0.0.1', port: Number(process.env.BROKER_PORT) })`

type Print = (line: string) => void

if (import.meta.main) await measureBinary((line) => void process.stdout.write(`${line}\n`))

/** Prints the comparison. The two programs are measured in turns, because machines are shared and noisy. */
export async function measureBinary(print: Print): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'ellipsis-broker-binary-'))
  try {
    execFileSync(process.execPath, ['scripts/build.ts', directory], { cwd: ROOT, stdio: 'pipe' })
    const [broker, bare] = [join(directory, 'ellipsis-broker'), join(directory, 'bare')]
    const outfile = join(directory, 'bare.cjs')
    const stdin = { contents: BARE_APP, resolveDir: ROOT }
    await build({ ...bundleOptions, stdin, outfile })
    await makeBinary(outfile, bare, {})

    const addedMebibytes = ((await stat(broker)).size - (await stat(bare)).size) / MEBIBYTE_BYTES
    print(
      `size: ${addedMebibytes.toFixed(1)} MiB larger than a bare Fastify binary   target 10 MiB`,
    )
    await compareStarts(broker, bare, directory, print)
    await compareMemory(broker, bare, print)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function compareStarts(broker: string, bare: string, directory: string, print: Print) {
  const dataDir = join(directory, 'data')
  await measureStart(broker, dataDir)
  const results = { broker: [] as StartResult[], bare: [] as StartResult[] }
  for (let round = 0; round < ROUNDS; round++) {
    results.bare.push(await measureStart(bare, dataDir))
    results.broker.push(await measureStart(broker, dataDir))
  }
  const medianOf = (program: keyof typeof results, key: keyof StartResult) =>
    median(results[program].map((result) => result[key]))
  const printLine = (label: string, key: keyof StartResult, unit: string, target: string) => {
    const [brokerValue, bareValue] = [medianOf('broker', key), medianOf('bare', key)]
    const ratio = (brokerValue / bareValue).toFixed(2)
    print(
      `${label}: ${brokerValue.toFixed(0)} ${unit}, bare ${bareValue.toFixed(0)} ${unit}, ratio ${ratio}${target}`,
    )
  }
  printLine('ready', 'milliseconds', 'ms', '   target 300 ms')
  printLine('resident when ready', 'mebibytes', 'MiB', '')
}

async function compareMemory(broker: string, bare: string, print: Print): Promise<void> {
  await using cleanup = new AsyncDisposableStack()
  const bench = await startBench(cleanup, broker)
  const headers = { authorization: `Bearer ${bench.brokerToken}` }
  const ANSWER = await (await fetch(`${bench.url}/exchange`, { method: 'POST', headers })).text()
  const BROKER_PORT = String(await freePort())
  const bareUrl = `http://127.0.0.1:${BROKER_PORT}`
  const { pid: barePid = 0 } = startProcess(cleanup, [], { ANSWER, BROKER_PORT }, bare)
  await waitUntilReachable(bareUrl)
  const measureAfterLoad = async (url: string, pid: number) => {
    const bytes = buildRequest(`${url}/exchange`, 'POST', headers)
    await sendLoad(url, bytes, { requests: REQUESTS })
    return readResidentMebibytes(pid)
  }
  const brokerMebibytes = await measureAfterLoad(bench.url, bench.pid)
  const bareMebibytes = await measureAfterLoad(bareUrl, barePid)
  const ratio = (brokerMebibytes / bareMebibytes).toFixed(2)
  print(
    `resident after ${REQUESTS} requests: ${brokerMebibytes.toFixed(0)} MiB, bare ${bareMebibytes.toFixed(0)} MiB, ratio ${ratio}   target 1.4`,
  )
}

export interface StartResult {
  milliseconds: number
  mebibytes: number
}

/** Starts the program with `serve`, waits until it is ready, and stops it. */
export async function measureStart(program: string, dataDir: string): Promise<StartResult> {
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
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null)
    if (response) break
    if (child.exitCode !== null) throw new Error(`${program} exited`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const milliseconds = performance.now() - startedAt
  const mebibytes = await readResidentMebibytes(child.pid ?? 0)
  await stopProcess(child)
  return { milliseconds, mebibytes }
}

/** Resident memory from /proc; `NaN` on other systems than Linux. */
async function readResidentMebibytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024
}
