import { spawn } from 'node:child_process'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { freePort } from '../test/helper.ts'
import { median } from './load.ts'

const ROOT = join(import.meta.dirname, '..')
const ROUNDS = 7

/** Time to ready and resident memory of the broker's bundle, beside those of a bare Fastify bundle. */
export async function measureStart(print: (line: string) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ellipsis-broker-start-'))
  try {
    execFileSync(process.execPath, ['scripts/build.ts', folder], { cwd: ROOT, stdio: 'pipe' })
    const bare = join(folder, 'bare.mjs')
    await build({
      stdin: {
        contents: `import fastify from 'fastify'
          const app = fastify()
          app.get('/healthz', async () => ({ status: 'ok' }))
          await app.listen({ host: '127.0.0.1', port: Number(process.env.BROKER_PORT) })`,
        resolveDir: ROOT,
      },
      outfile: bare,
      bundle: true,
      platform: 'node',
      format: 'esm',
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)",
      },
    })
    const program = join(folder, 'bundle/ellipsis-broker.mjs')
    const data = join(folder, 'data')
    await start([program, 'serve'], data)
    const results = { broker: [] as Started[], bare: [] as Started[] }
    for (let round = 0; round < ROUNDS; round++) {
      results.bare.push(await start([bare], data))
      results.broker.push(await start([program, 'serve'], data))
    }
    const of = (name: keyof typeof results, key: keyof Started) =>
      median(results[name].map((one) => one[key]))
    const line = (what: string, key: keyof Started, unit: string) =>
      print(
        `${what}: broker ${of('broker', key).toFixed(0)} ${unit}, bare Fastify ${of('bare', key).toFixed(0)} ${unit}, ratio ${(of('broker', key) / of('bare', key)).toFixed(2)}`,
      )
    line('time to ready, bundled', 'milliseconds', 'ms')
    line('resident memory when ready, bundled', 'mebibytes', 'MiB')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Started {
  milliseconds: number
  mebibytes: number
}

async function start(args: string[], dataDir: string): Promise<Started> {
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
  const child = spawn(process.execPath, args, { env, stdio: 'inherit' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null)
    if (answer) break
    if (child.exitCode !== null) throw new Error(`${args.join(' ')} ended`)
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
