/**
 * Machines of a small network on this one: network namespaces with a bridge between them. What is started in one sees
 * the others by their addresses only. Everything belongs to a namespace of this process and ends with it.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Set for the process that has the namespaces. */
const INSIDE = 'CHAOS_INSIDE'
/**
 * Runs a command with a network, process ids and shared memory of its own. It ends with its parent, however that ends,
 * and then ends everything that was started in it.
 */
const OWN_NETWORK = [
  ...['--net', '--pid', '--fork', '--kill-child', '--mount-proc'],
  ...['sh', '-c', 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', 'sh'],
]
const MASK = 24
/** No machine has it: packets to it are lost without an error. */
const NO_MACHINE = '02:00:00:00:00:01'
const POLL_INTERVAL_MS = 20

/** For tap's `skip`: why this machine allows no namespaces, otherwise `false`. */
export function noNamespaces(): string | false {
  const { status } = spawnSync('unshare', [
    ...OWN_NETWORK,
    'ip',
    'link',
    'add',
    'br0',
    'type',
    'bridge',
  ])
  return (
    status !== 0 &&
    'network namespaces need root (CAP_NET_ADMIN, CAP_SYS_ADMIN), unshare and iproute2'
  )
}

/** Runs this program once more with a network of its own, unless it has one. Then the first one ends with its code. */
export async function enterOwnNetwork(): Promise<void> {
  if (process.env[INSIDE] !== undefined) return
  const command = [process.execPath, ...process.argv.slice(1)]
  const env = { ...process.env, [INSIDE]: '1' }
  const child = spawn('unshare', [...OWN_NETWORK, ...command], { env, stdio: 'inherit' })
  process.exit(
    await new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 1))),
  )
}

const ip = (...args: string[]): void => void execFileSync('ip', args)

/** The machine of this process: apps and Ellipsis Drive. Call it once, before the others. */
export function createBridge(address: string): void {
  ip('link', 'set', 'lo', 'up')
  ip('link', 'add', 'br0', 'type', 'bridge')
  ip('address', 'add', `${address}/${MASK}`, 'dev', 'br0')
  ip('link', 'set', 'br0', 'up')
}

export class Host {
  readonly address: string
  /** Keeps the namespace. */
  readonly #holder: ChildProcess
  readonly #link: string
  #namespace = ''

  private constructor(address: string) {
    this.address = address
    this.#link = `h${address.split('.').at(-1)}`
    this.#holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' })
  }

  static async create(address: string): Promise<Host> {
    const host = new Host(address)
    const own = readlinkSync('/proc/self/ns/net')
    while (host.#namespace === '' || host.#namespace === own) {
      host.#namespace = namespaceOf(String(host.#holder.pid)) ?? ''
      await sleep(POLL_INTERVAL_MS)
    }
    ip(
      'link',
      'add',
      host.#link,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      String(host.#holder.pid),
    )
    ip('link', 'set', host.#link, 'master', 'br0', 'up')
    host.run('ip', 'link', 'set', 'lo', 'up')
    host.run('ip', 'address', 'add', `${address}/${MASK}`, 'dev', 'eth0')
    host.run('ip', 'link', 'set', 'eth0', 'up')
    return host
  }

  /** Precedes a command that is to run there. It replaces itself by it, so the process has the same id. */
  get command(): [program: string, ...args: string[]] {
    return ['nsenter', `--net=/proc/${this.#holder.pid}/ns/net`, '--']
  }

  /** Runs a command there to its end. @throws Error */
  run(...args: string[]): string {
    const [program, ...before] = this.command
    return execFileSync(program, [...before, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  /** Loses all packets from and to it. */
  unplug(): void {
    ip('link', 'set', this.#link, 'down')
  }

  plugIn(): void {
    ip('link', 'set', this.#link, 'up')
  }

  /** Loses all packets between the two. */
  cutFrom(other: Host): void {
    this.run('ip', 'neighbour', 'replace', other.address, 'lladdr', NO_MACHINE, 'dev', 'eth0')
    other.run('ip', 'neighbour', 'replace', this.address, 'lladdr', NO_MACHINE, 'dev', 'eth0')
  }

  joinTo(other: Host): void {
    this.run('ip', 'neighbour', 'delete', other.address, 'dev', 'eth0')
    other.run('ip', 'neighbour', 'delete', this.address, 'dev', 'eth0')
  }

  /** Sends a signal to all processes of that machine. SIGSTOP: it is paused; SIGKILL: its power fails. */
  signal(signal: NodeJS.Signals): void {
    for (const pid of this.#processes()) {
      try {
        process.kill(pid, signal)
      } catch {
        // It has just ended.
      }
    }
  }

  /** Resolves when none of its processes is left. */
  async powerOff(): Promise<void> {
    while (this.#processes().length > 0) {
      this.signal('SIGKILL')
      await sleep(POLL_INTERVAL_MS)
    }
  }

  #processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && namespaceOf(name) === this.#namespace)
      .map(Number)
      .filter((pid) => pid !== this.#holder.pid)
  }
}

/** `undefined`: the process has ended. */
function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return undefined
  }
}
