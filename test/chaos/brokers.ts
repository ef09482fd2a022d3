import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { freePort } from '../helper.ts'
import type { Order } from './orders.ts'

/** CommonJS packages in the bundle go on calling `require`, which a module doesn't have. */
const BANNER = `import { createRequire as makeRequire } from 'node:module'
const require = makeRequire(import.meta.url)`

const ROOT = join(import.meta.dirname, '../..')

/** Bundles the broker: one that is killed often has to start quickly. Answers the file. */
export async function bundleBroker(): Promise<string> {
  // Assets and packages are found from a folder in the project's root.
  const outfile = join(ROOT, `dist/chaos-${process.pid}.mjs`)
  await build({
    entryPoints: [join(import.meta.dirname, 'broker.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['better-sqlite3'],
    banner: { js: BANNER },
    logLevel: 'error',
  })
  return outfile
}

/** A broker that is started again whenever it dies. */
export class Broker {
  url = ''
  kills = 0
  /** How often it ended by itself after it had been up. */
  crashes = 0
  readonly #program: string
  readonly #env: Record<string, string>
  #child: ChildProcess | null = null
  #ready: Promise<void> = Promise.resolve()
  #ending = false

  constructor(program: string, env: Record<string, string>) {
    this.#program = program
    this.#env = env
  }

  async start(): Promise<void> {
    const port = await freePort()
    this.url = `http://127.0.0.1:${port}`
    const env = { ...this.#env, PATH: process.env.PATH ?? '', BROKER_PORT: String(port) }
    const child = fork(this.#program, [], { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child = child
    let up = false
    child.once('exit', (_code, signal) => {
      if (signal === 'SIGKILL') this.kills++
      else if (up) this.crashes++
      if (!this.#ending) this.#ready = this.#ready.then(() => this.start())
    })
    const started = once(child, 'message').then(() => true)
    // On a full disk it can't start: as its supervisor would, it is tried again after a while.
    up = await Promise.race([started, once(child, 'exit').then(() => false)])
    if (!up) await sleep(500)
  }

  /** Resolves when it has come up again. */
  ready(): Promise<void> {
    return this.#ready
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  order(order: Order): void {
    // Whoever is killed meanwhile doesn't hear it.
    if (this.#child?.connected) this.#child.send(order, () => undefined)
  }

  async end(): Promise<void> {
    this.#ending = true
    await this.#ready
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
}
