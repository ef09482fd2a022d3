import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { standInDefaults } from '../../server/stand-in/app.ts'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { waitForOutput } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

/** Why these tests can't run here, or `false`. They mount folders over /etc and /var/lib, for their processes only. */
export const skip =
  spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status !== 0 &&
  'needs root, unshare and mount'

/** The user of the service, and the group. */
export const SERVICE_USER = 65_534
export const UNIT = readFileSync(
  join(import.meta.dirname, '../../deploy/ellipsis-broker.service'),
  'utf8',
)

interface Call {
  args: string[]
  /** Default: root. */
  user?: number
  cwd?: string
  env?: Record<string, string>
}

/** A machine on which the broker is installed as docs/install.md says. */
export interface Installation {
  etc: string
  /** What is mounted at /var/lib. */
  lib: string
  /** A directory that has nothing to do with the installation. */
  elsewhere: string
  /** Runs a command to its end. */
  run(...call: [Call] | string[]): Promise<{ code: number | null; stdout: string; stderr: string }>
  /** Starts the service as systemd does: its user, its environment, in `/`. Returns its URL. */
  serve(): Promise<{ url: string; stop(): Promise<unknown> }>
}

/** @param settings of /etc/ellipsis-broker.env */
export function install(t: Test, settings: Record<string, string> = {}): Installation {
  const folder = temporaryFolder(t)
  chmodSync(folder, 0o755)
  const [etc, lib, elsewhere] = ['etc', 'lib', 'elsewhere'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  for (const path of [join(etc, 'systemd/system'), join(lib, 'ellipsis-broker'), elsewhere]) {
    mkdirSync(path, { recursive: true })
  }
  chownSync(join(lib, 'ellipsis-broker'), SERVICE_USER, SERVICE_USER)
  chmodSync(join(lib, 'ellipsis-broker'), 0o700)
  chmodSync(elsewhere, 0o777)
  for (const name of ['passwd', 'group', 'hosts']) cpSync(`/etc/${name}`, join(etc, name))
  writeFileSync(join(etc, 'systemd/system/ellipsis-broker.service'), UNIT)
  const { id, secret } = standInDefaults.client
  const values: Record<string, string> = {
    ELLIPSIS_CLIENT_ID: id,
    ELLIPSIS_CLIENT_SECRET: secret,
    ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3',
    BROKER_PUBLIC_URL: 'https://broker.example.com',
    BROKER_PORT: '0',
    ...settings,
  }
  const text = Object.entries(values).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(join(etc, 'ellipsis-broker.env'), text.join(''), { mode: 0o600 })

  const start = ({ args, user = 0, cwd = elsewhere, env = {} }: Call): ChildProcess => {
    const mounts = `mount --bind ${etc} /etc && mount --bind ${lib} /var/lib`
    const drop = `setpriv --reuid ${user} --regid ${user} --clear-groups`
    const script = `${mounts} && cd ${cwd} && exec ${drop} ${process.execPath} -- ${PROGRAM} "$@"`
    return spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', ...args], {
      env: { ...PROGRAM_ENV, ...env },
    })
  }
  return {
    etc,
    lib,
    elsewhere,
    run: (...call) =>
      toEnd(start(typeof call[0] === 'object' ? call[0] : { args: call as string[] })),
    async serve() {
      const env = { ...values, BROKER_DATA_DIR: '/var/lib/ellipsis-broker' }
      const child = start({ args: ['serve'], user: SERVICE_USER, cwd: '/', env })
      return running(t, child)
    },
  }
}

/** The result of a process. */
export async function toEnd(child: ChildProcess) {
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (chunk: Buffer) => (output[name] += chunk.toString()))
  }
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...output }
}

/** Waits until a broker listens. It is stopped after the test. */
export async function running(t: Test, child: ChildProcess) {
  const closed = once(child, 'close')
  const stop = () => {
    child.kill('SIGTERM')
    return closed
  }
  t.teardown(stop)
  const { match } = await waitForOutput(child, /"listening":"([^"]+)"/)
  return { url: match[1] ?? '', stop }
}
