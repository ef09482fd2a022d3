import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { Agent, request } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import type { Test } from 'tap'
import { runCli } from './processes.ts'

/** A broker with worker processes. */
export interface Workers {
  url: string
  primary: ChildProcess
  output: () => string
  /** Process ids of the workers that are to stay, by the log. */
  pids(): number[]
  /** Waits until the output has that many matches. */
  outputHas(pattern: RegExp, count?: number): Promise<void>
  /** Replaces all workers, and waits until that is done. */
  replace(): Promise<void>
  /** The worker that has a connection, by the client's port of it. */
  workerOf(clientPort: number): number | undefined
}

/** Starts `serve --workers` on a free port, and waits until all are ready. It is stopped after the test. */
export async function serveWorkers(
  t: Test,
  env: Record<string, string>,
  options: { count?: number; arguments?: string[] } = {},
): Promise<Workers> {
  const { count = 2, arguments: args = [] } = options
  const command = [...args, 'serve', '--workers', String(count)]
  const primary = runCli(command, { ...env, BROKER_PORT: '0' })
  let text = ''
  const waiting = new Set<() => void>()
  for (const stream of [primary.stdout, primary.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      for (const check of waiting) check()
    })
  }
  const closed = once(primary, 'close').then(() => {
    for (const check of waiting) check()
  })
  t.teardown(async () => {
    primary.kill('SIGTERM')
    await closed
  })

  const outputHas = (pattern: RegExp, wanted = 1): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = () => {
        const found = text.match(new RegExp(pattern, 'g'))?.length ?? 0
        const hasEnded = primary.exitCode !== null || primary.signalCode !== null
        if (found < wanted && !hasEnded) return
        waiting.delete(check)
        if (found >= wanted) resolve()
        else reject(new Error(`The program ended. Its output:\n${text}`))
      }
      waiting.add(check)
      check()
    })

  await outputHas(/all workers are ready/)
  const url = /"listening":"([^"]+)"/.exec(text)?.[1] ?? ''
  const pids = () => {
    const lists = [...text.matchAll(/"workers":\[([\d,]+)\],"msg":"(?:all|replaced)/g)]
    return (lists.at(-1)?.[1] ?? '').split(',').map(Number)
  }
  let replacements = 0
  return {
    url,
    primary,
    output: () => text,
    pids,
    outputHas,
    async replace() {
      primary.kill('SIGHUP')
      await outputHas(/replaced the workers/, ++replacements)
    },
    workerOf: (clientPort) => pids().find((pid) => hasConnection(pid, clientPort)),
  }
}

/** Has a process the server's end of that connection? */
function hasConnection(pid: number, clientPort: number): boolean {
  const hexPort = clientPort.toString(16).toUpperCase().padStart(4, '0')
  const rows = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').slice(1)
  const inodes = rows
    .map((row) => row.trim().split(/\s+/))
    .filter((row) => row[2]?.endsWith(`:${hexPort}`))
  const sockets = new Set(inodes.map((row) => `socket:[${row[9]}]`))
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).some((name) => {
    try {
      return sockets.has(readlinkSync(`${folder}/${name}`))
    } catch {
      return false
    }
  })
}

/** Is there such a process? */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

/** A client with one connection, which it keeps open. */
export class Client {
  readonly #agent: Agent
  readonly #url: string
  /** Its port of the connection of the last request. */
  port = 0

  constructor(url: string, { keepAlive = true } = {}) {
    this.#url = url
    this.#agent = new Agent({ keepAlive, maxSockets: 1 })
  }

  /** Sends a request. @throws Error if the connection fails */
  send(
    path: string,
    options: { method?: string; token?: string; body?: string; headers?: object } = {},
  ) {
    const { method = 'GET', token, body } = options
    return new Promise<{ status: number; body: string; headers: IncomingHttpHeaders }>(
      (resolve, reject) => {
        const headers = {
          ...options.headers,
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
        }
        const sent = request(
          this.#url + path,
          { method, agent: this.#agent, headers },
          (answer) => {
            let text = ''
            answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
            answer.on('error', reject)
            answer.on('end', () =>
              resolve({
                status: answer.statusCode ?? 0,
                body: text,
                headers: answer.headers,
              }),
            )
          },
        )
        sent.on('socket', (socket) => {
          const note = () => (this.port = socket.localPort ?? 0)
          if (socket.connecting) socket.once('connect', note)
          else note()
        })
        sent.on('error', reject).end(body)
      },
    )
  }

  exchange = (token: string) => this.send('/exchange', { method: 'POST', token })

  close(): void {
    this.#agent.destroy()
  }
}

/** Clients of each of the workers, two of each. */
export async function clientsOfEach(t: Test, workers: Workers): Promise<Client[][]> {
  const byWorker = new Map<number, Client[]>(workers.pids().map((pid) => [pid, []]))
  while ([...byWorker.values()].some(({ length }) => length < 2)) {
    const client = new Client(workers.url)
    t.teardown(() => client.close())
    await client.send('/healthz')
    const own = byWorker.get(workers.workerOf(client.port) ?? 0)
    if (own && own.length < 2) own.push(client)
    else client.close()
  }
  return [...byWorker.values()]
}
