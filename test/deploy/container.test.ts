import { chownSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { freePort } from '../helper.ts'
import { cli, listening, runCli } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

const DEPLOY = join(import.meta.dirname, '../../deploy')
const containerfile = readFileSync(join(DEPLOY, 'Containerfile'), 'utf8')
const PROGRAM_PATH = '/usr/local/bin/ellipsis-broker'

interface Compose {
  services: { broker: Record<string, unknown> & { environment: Record<string, string> } }
  volumes: Record<string, unknown>
}
const { services, volumes } = parse(readFileSync(join(DEPLOY, 'compose.yaml'), 'utf8')) as Compose

/** The arguments of an instruction of the Containerfile. */
const instruction = (name: string): string => {
  const found = new RegExp(`^${name} (.*)$`, 'm').exec(containerfile)?.[1]
  if (found === undefined) throw new Error(`the Containerfile has no ${name}`)
  return found
}

t.test('the compose file uses the image’s paths, and only they are writable', (t) => {
  const { broker } = services
  const paths = instruction('VOLUME').split(' ')
  const mounts = (broker.volumes as string[]).map((mount) => mount.split(':'))
  t.strictSame(
    mounts.map(([, path]) => path),
    paths,
  )
  t.strictSame(
    mounts.map(([name]) => name),
    Object.keys(volumes),
  )
  t.match(instruction('RUN'), new RegExp(`${paths.join(' ')}$`), 'they belong to the broker’s user')
  t.match(broker, { read_only: true, cap_drop: ['ALL'], stop_grace_period: '40s' })
  t.match((broker.ports as string[])[0], /^127\.0\.0\.1:\d+:3000$/, 'not open to the network')
  t.match(instruction('EXPOSE'), '3000')
  const dataDir = /BROKER_DATA_DIR=(\S+)/.exec(instruction('ENV'))?.[1]
  t.equal(broker.environment.BROKER_DATA_DIR, dataDir)
  t.end()
})

const USER = { uid: 65_532, gid: 65_532 }
const skip = process.geteuid?.() !== 0 && 'only root can run a program as another user'

/** The directories and the environment of the container. */
async function buildLayout(t: Test) {
  const root = temporaryFolder(t)
  chownSync(root, USER.uid, USER.gid)
  const paths = instruction('VOLUME').split(' ')
  for (const path of paths) {
    mkdirSync(join(root, path), { mode: 0o700 })
    chownSync(join(root, path), USER.uid, USER.gid)
  }
  const image = [...instruction('ENV').matchAll(/(\S+)=(\S+)/g)].map(([, name, value]) => [
    name,
    value,
  ])
  const env: Record<string, string> = {
    ...(Object.fromEntries(image) as Record<string, string>),
    ...services.broker.environment,
    BROKER_PORT: String(await freePort()),
    BROKER_PUBLIC_URL: 'https://broker.example.com',
    ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3',
    ELLIPSIS_CLIENT_ID: 'id',
    ELLIPSIS_CLIENT_SECRET: 'secret',
  }
  env.BROKER_DATA_DIR = join(root, env.BROKER_DATA_DIR ?? '')
  return { root, env }
}

/** The command of the health check, without the program. */
const healthCheck = (): string[] => {
  const [, json = '[]'] = /CMD (\[.*\])$/.exec(instruction('HEALTHCHECK')) ?? []
  const [program, ...args] = JSON.parse(json) as string[]
  if (program !== PROGRAM_PATH) throw new Error(`the health check runs ${program}`)
  return args
}

t.test(
  'in the container’s layout the broker gets healthy, and commands find its data',
  { skip },
  async (t) => {
    const { root, env } = await buildLayout(t)
    t.match(await cli(healthCheck(), env, '', USER), { code: 1, stderr: /No broker answers at/ })
    const args = JSON.parse(instruction('CMD')) as string[]
    const child = runCli(args, env, '/', USER)
    const closed = new Promise((resolve) => child.once('close', resolve))
    t.teardown(async () => {
      child.kill('SIGTERM')
      await closed
    })
    await listening(child)
    t.match(await cli(healthCheck(), env, '', USER), { code: 0, stdout: /is ready/ })
    const added = await cli(
      ['app', 'add', 'Map', '--redirect-uri', 'https://map.example/'],
      env,
      '',
      USER,
    )
    t.equal(added.code, 0, added.stderr)
    const backups = join(root, 'backups')
    t.match(await cli(['backup', '--keep', '7', backups], env, '', USER), { code: 0 })
    const [name = ''] = readdirSync(backups).filter((one) => one.endsWith('.db'))
    child.kill('SIGTERM')
    await closed
    t.match(await cli(healthCheck(), env, '', USER), { code: 1 })
    const restored = await cli(['restore', join(backups, name)], env, '', USER)
    t.equal(restored.code, 0, restored.stderr)
  },
)
