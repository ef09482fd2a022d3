import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { freePort } from '../helper.ts'
import { steadyMs } from './answers.ts'

/** Points in a refresh at which a broker can be killed. */
export const REFRESH_POINTS = [
  'before the call',
  'after the answer',
  'before the commit',
  'after it',
] as const
export type RefreshPoint = (typeof REFRESH_POINTS)[number]

/** A message to a broker process (broker-child.ts). */
export type Order =
  /** Kill yourself when a refresh next reaches that point. */
  | { killAt: RefreshPoint }
  /** Move the clock forward, or back if negative. */
  | { moveClockMs: number }
  /** Fail all writes for that long. */
  | { readOnlyMs: number }

/** Bundled CommonJS packages call `require`, which an ES module doesn't have. */
const BANNER = `import { createRequire as makeRequire } from 'node:module'
const require = makeRequire(import.meta.url)`

const ROOT = join(import.meta.dirname, '../..')

const RESTART_DELAY_MS = 500

/** Bundles the broker, because a broker that is killed often must start fast. Returns the file. */
export async function bundleBroker(): Promise<string> {
  // Assets and packages are resolved from a folder in the project root.
  const outfile = join(ROOT, `dist/chaos-${process.pid}-${Date.now()}.mjs`)
  await build({
    entryPoints: [join(import.meta.dirname, 'broker-child.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['better-sqlite3', 'pg-native'],
    banner: { js: BANNER },
    logLevel: 'error',
  })
  return outfile
}

/** Where a broker runs: by default on this machine, at a free port. */
export interface Place {
  address: string
  port: number
  /** Precedes a command that is to run there. */
  command: [program: string, ...args: string[]]
}

/** A broker process that is restarted whenever it ends. */
export class Broker {
  url = ''
  kills = 0
  /** How often it exited by itself after it had started. */
  crashes = 0
  /** When its processes ended, by their ids: see `steadyMs`. */
  readonly ends = new Map<number, number>()
  readonly #program: string
  /** Of the next start. */
  readonly env: Record<string, string>
  readonly #place: Place | undefined
  #child: ChildProcess | null = null
  #ready: Promise<void> = Promise.resolve()
  #isEnding = false

  constructor(program: string, env: Record<string, string>, place?: Place) {
    this.#program = program
    this.env = env
    this.#place = place
  }

  async start(): Promise<void> {
    const { address, port } = this.#place ?? { address: '127.0.0.1', port: await freePort() }
    this.url = `http://${address}:${port}`
    const own = { PATH: process.env.PATH ?? '', BROKER_HOST: address, BROKER_PORT: String(port) }
    const [execPath, ...execArgv] = [...(this.#place?.command ?? []), process.execPath] as [string]
    const child = fork(this.#program, [], {
      ...{ execPath, execArgv, env: { ...this.env, ...own } },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child = child
    let isUp = false
    child.once('exit', (_code, signal) => {
      this.ends.set(child.pid ?? 0, steadyMs())
      if (signal === 'SIGKILL') this.kills++
      else if (isUp) this.crashes++
      if (!this.#isEnding) this.#ready = this.#ready.then(() => this.start())
    })
    const started = once(child, 'message').then(() => true)
    // It can't start on a full disk. Like a supervisor, retry after a delay.
    isUp = await Promise.race([started, once(child, 'exit').then(() => false)])
    if (!isUp) await sleep(RESTART_DELAY_MS)
  }

  /** Resolves when it has started again. */
  ready(): Promise<void> {
    return this.#ready
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  order(order: Order): void {
    // A broker that is killed meanwhile doesn't get the order.
    if (this.#child?.connected) this.#child.send(order, () => undefined)
  }

  async end(): Promise<void> {
    this.#isEnding = true
    await this.#ready
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
}
