/**
 * `npm run bench:drive`: the proxy's figures of docs/scale.md. nginx is the upstream, and another nginx the proxy
 * to compare with. The measurements alternate in one run.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../test/helper.ts'
import { buildRequest, median, sendLoad } from './load.ts'
import { startBench, startProcess, waitUntilReachable } from './setup.ts'

const ROUNDS = 5
const TILE_BYTES = 20 * 1024
const FILE_BYTES = 64 * 1024 * 1024
const SLOW_DOWNLOADS = 50
/** A slow download reads this much, then waits. */
const SLOW_CHUNK_BYTES = 64 * 1024
const SLOW_PAUSE_MS = 1000

await using cleanup = new AsyncDisposableStack()
const print = (line: string) => void process.stdout.write(`${line}\n`)

const folder = await mkdtemp(join(tmpdir(), 'ellipsis-broker-bench-drive-'))
cleanup.defer(() => rm(folder, { recursive: true, force: true }))
await mkdir(join(folder, 'v3/path'), { recursive: true })
await writeFile(join(folder, 'v3/path/tile.png'), Buffer.alloc(TILE_BYTES, 1))
await writeFile(join(folder, 'v3/path/large.bin'), Buffer.alloc(FILE_BYTES, 1))

/** Starts nginx with a `server` block. Returns its URL. */
async function startNginx(name: string, toServer: (port: number) => string): Promise<string> {
  const port = await freePort()
  const own = join(folder, name)
  await mkdir(own)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${own};`)
    .join(' ')
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const configuration = `daemon off; ${user} worker_processes 1; pid ${own}/pid; error_log ${own}/error.log;
    events { worker_connections 512; }
    http { access_log off; sendfile on; keepalive_requests 10000000; ${temporary} ${toServer(port)} }`
  await writeFile(join(own, 'nginx.conf'), configuration)
  const { PATH = '' } = process.env
  const env = { PATH: `${PATH}:/usr/sbin:/usr/local/sbin` }
  const program = spawnSync('which', ['nginx'], { env, encoding: 'utf8' }).stdout.trim()
  startProcess(cleanup, ['-p', own, '-c', join(own, 'nginx.conf')], {}, program)
  const url = `http://127.0.0.1:${port}`
  await waitUntilReachable(url)
  return url
}

let standInUrl = 'http://127.0.0.1:1'
const upstreamOf = (apiUrl: string): Promise<string> => {
  standInUrl = new URL(apiUrl).origin
  return startNginx(
    'upstream',
    (port) => `server { listen 127.0.0.1:${port}; root ${folder};
      location / { proxy_pass ${standInUrl}; proxy_set_header Host $http_host; }
      location /v3/path/ { } }`,
  )
}
const broker = await startBench(cleanup, undefined, async (apiUrl) => {
  return `${await upstreamOf(apiUrl)}/v3`
})
const upstreamUrl = new URL(broker.env.ELLIPSIS_API_URL).origin
const proxyUrl = await startNginx(
  'proxy',
  (
    port,
  ) => `upstream drive { server ${new URL(upstreamUrl).host}; keepalive 64; keepalive_requests 10000000; }
    server { listen 127.0.0.1:${port};
      location / { proxy_pass http://drive; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
)

const headers = { authorization: `Bearer ${broker.brokerToken}` }
const targets = {
  nginx: { base: `${proxyUrl}/v3`, headers: {} },
  broker: { base: `${broker.url}/drive`, headers },
}
const residentMib = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${broker.pid}/status`, 'utf8'))?.[1]) / 1024

/** Reads one response, `chunkBytes` at a time with pauses if given. Returns bytes per second. */
function download(url: string, bytes: Buffer, signal?: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const socket: Socket = connect(Number(new URL(url).port), '127.0.0.1', () =>
      socket.write(bytes),
    )
    signal?.addEventListener('abort', () => {
      socket.destroy()
      resolve(0)
    })
    let [received, paused] = [0, 0]
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => {
      if (received === 0 && !chunk.toString('latin1', 0, 12).endsWith('200'))
        return reject(new Error(chunk.toString('latin1', 0, 300)))
      received += chunk.length
      if (signal && received - paused >= SLOW_CHUNK_BYTES) {
        paused = received
        socket.pause()
        setTimeout(() => socket.resume(), SLOW_PAUSE_MS)
      }
      if (received < FILE_BYTES) return
      socket.destroy()
      resolve((received * 1000) / (performance.now() - startedAt))
    })
  })
}

const rates: Record<string, number[]> = {}
const record = (name: string, value: number): void => {
  rates[name] ??= []
  rates[name].push(value)
}
const ratio = (name: string, baseline: string): string =>
  median(
    (rates[name] ?? []).map((rate, round) => rate / (rates[baseline]?.[round] ?? NaN)),
  ).toFixed(2)

const exchange = buildRequest(`${broker.url}/exchange`, 'POST', headers)
for (const { base, headers: own } of Object.values(targets))
  await sendLoad(base, buildRequest(`${base}/path/tile.png`, 'GET', own))
const memoryBefore = residentMib()
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, { base, headers: own }] of Object.entries(targets)) {
    const tile = buildRequest(`${base}/path/tile.png`, 'GET', own)
    record(`tiles ${name}`, await sendLoad(base, tile))
    const file = buildRequest(`${base}/path/large.bin`, 'GET', own)
    record(`files ${name}`, await download(base, file))
  }
  record('exchanges alone', await sendLoad(broker.url, exchange))
  const stop = new AbortController()
  const large = buildRequest(`${broker.url}/drive/path/large.bin`, 'GET', headers)
  const slow = Array.from({ length: SLOW_DOWNLOADS }, () =>
    download(broker.url, large, stop.signal),
  )
  await new Promise((resolve) => setTimeout(resolve, 3000))
  record('exchanges beside', await sendLoad(broker.url, exchange))
  stop.abort()
  await Promise.all(slow)
}
const memoryAfter = residentMib()

for (const [name, values] of Object.entries(rates)) {
  const isFile = name.startsWith('files')
  const value = isFile ? median(values) / 1024 / 1024 : median(values)
  print(`${name.padEnd(18)} ${Math.round(value)} ${isFile ? 'MiB' : 'responses'} per second`)
}
print(`
/drive relative to nginx as a proxy of the same upstream
  tiles of ${TILE_BYTES / 1024} KiB                  ${ratio('tiles broker', 'tiles nginx')}   target 0.25
  a file of ${FILE_BYTES / 1024 / 1024} MiB                 ${ratio('files broker', 'files nginx')}   target 0.70
/exchange beside ${SLOW_DOWNLOADS} slow downloads   ${ratio('exchanges beside', 'exchanges alone')}   target 0.80
memory of the broker ${memoryBefore.toFixed(0)} MiB before, ${memoryAfter.toFixed(0)} MiB after`)
