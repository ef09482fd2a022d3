import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { temporaryFolder } from '../temporary.ts'
import { SERVICE_USER, UNIT, install, running, skip, toEnd } from './installation.ts'

const STORE = '/var/lib/ellipsis-broker'
const FILE = '/etc/ellipsis-broker.env'
const ADD = ['app', 'add', 'My map', '--redirect-uri', 'https://map.example.com/']
const idOf = ({ stdout }: { stdout: string }) => /app_\S+/.exec(stdout)?.[0] ?? ''

t.test(
  'root’s commands work on the running service’s store, from any directory',
  { skip },
  async (t) => {
    const machine = install(t)
    const { url } = await machine.serve()
    const added = await machine.run(...ADD)
    t.match(added, { code: 0, stdout: 'https://broker.example.com/connect/app_' })
    t.match(added.stderr, `Store: ${STORE} (settings: environment, ${FILE})`)
    const headers = { 'x-forwarded-host': 'broker.example.com', 'x-forwarded-proto': 'https' }
    const page = await fetch(`${url}/connect/${idOf(added)}`, { headers, redirect: 'manual' })
    t.equal(page.status < 400, true, `the service knows the app: ${page.status}`)
    t.match(await machine.run('app', 'list', '--json'), { code: 0, stdout: idOf(added) })
    const backup = join(machine.elsewhere, 'backup.db')
    t.match(await machine.run('backup', backup), {
      code: 0,
      stderr: STORE,
      stdout: `${STORE}/secret.key`,
    })
    t.match(await machine.run('--env-file', FILE, 'app', 'show', idOf(added)), { code: 0 })
    const admin = await machine.run('admin', 'list')
    t.match(admin, { code: 0, stdout: 'No admins yet', stderr: STORE })
    t.strictSame(readdirSync(machine.elsewhere), ['backup.db'], 'no other store was made')
  },
)

t.test(
  'the service’s user is told why the settings can’t be read, and what to set',
  { skip },
  async (t) => {
    const machine = install(t)
    await machine.serve()
    const id = idOf(await machine.run(...ADD))
    const user = SERVICE_USER
    for (const named of [[], ['--env-file', FILE]]) {
      const refused = await machine.run({ args: [...named, 'app', 'list'], user })
      t.equal(refused.code, 2)
      t.match(refused.stderr, `${FILE} cannot be read (EACCES)`)
      t.match(
        refused.stderr,
        `run the command as root. Or, as the service’s user, set BROKER_DATA_DIR to ${STORE}`,
      )
    }
    const env = { BROKER_DATA_DIR: STORE }
    t.match(await machine.run({ args: ['app', 'list'], user, env }), { code: 0, stdout: id })
    const added = await machine.run({ args: ADD, user, env })
    t.match(
      added,
      { code: 0, stdout: 'https://broker.example.com/connect/' },
      'the URL of the service',
    )
    const stranger = await machine.run({ args: ['app', 'list'], user: 65_533, env })
    t.match(stranger, { code: 2, stderr: `${STORE} can’t be read and written` })
    t.strictSame(readdirSync(machine.elsewhere), [])
  },
)

t.test(
  'before the first start, commands say where they looked and make nothing',
  { skip },
  async (t) => {
    const machine = install(t)
    for (const args of [['connection', 'list'], ['backup', 'b.db'], ['doctor']]) {
      const { code, stderr } = await machine.run(...args)
      t.equal(code, 2, args.join(' '))
      t.match(stderr, `The installed service has no database in ${STORE}.`)
      t.match(stderr, `the environment, ${FILE} (there is no ${machine.elsewhere}/.env)`)
      t.match(stderr, 'systemctl start ellipsis-broker')
    }
    t.strictSame(readdirSync(join(machine.lib, 'ellipsis-broker')), [])
    t.strictSame(readdirSync(machine.elsewhere), [])
  },
)

t.test(
  'a unit’s drop-in counts, and a store of this directory does not hide the service’s',
  { skip },
  async (t) => {
    const machine = install(t)
    // A store is not made where others can write.
    chmodSync(machine.elsewhere, 0o755)
    const dropIns = join(machine.etc, 'systemd/system/ellipsis-broker.service.d')
    mkdirSync(dropIns)
    writeFileSync(
      join(dropIns, 'override.conf'),
      '[Service]\nEnvironment=BROKER_DATA_DIR=/var/lib/moved\n',
    )
    t.match(await machine.run('app', 'list'), { code: 2, stderr: 'no database in /var/lib/moved.' })
    const env = { BROKER_DATA_DIR: join(machine.elsewhere, 'data') }
    t.match(await machine.run({ args: ADD, env }), { code: 0 })
    t.match(await machine.run('app', 'list'), { code: 2, stderr: 'no database in /var/lib/moved.' })
    writeFileSync(join(machine.elsewhere, '.env'), '')
    const outside = {
      args: ['app', 'list'],
      env: { BROKER_DATA_DIR: join(machine.elsewhere, 'no') },
    }
    t.match(await machine.run(outside), {
      code: 2,
      stderr: `The installed service has its store in /var/lib/moved (--env-file ${FILE})`,
    })
    const own = await machine.run('app', 'list')
    t.match(own, { code: 0, stdout: 'My map', stderr: `Store: ${env.BROKER_DATA_DIR}` })
    t.match(
      own.stderr,
      `The installed service has another store: /var/lib/moved (--env-file ${FILE})`,
    )
  },
)

t.test('init for the unit says how to start the unit', { skip }, async (t) => {
  const machine = install(t)
  rmSync(join(machine.etc, 'ellipsis-broker.env'))
  const secret = ['--client-id', 'one', '--client-secret-file', '/etc/client-secret']
  writeFileSync(join(machine.etc, 'client-secret'), 'a-secret')
  const { code, stdout } = await machine.run('init', '--file', FILE, ...secret)
  t.equal(code, 0)
  t.match(
    stdout,
    'install deploy/ellipsis-broker.service, then: systemctl enable --now ellipsis-broker',
  )
  t.match(stdout, 'journalctl -u ellipsis-broker')
  t.match(await machine.run('app', 'list'), { code: 2, stderr: `no database in ${STORE}` })
  t.strictSame(readdirSync(machine.elsewhere), [])
})

t.test('several services are listed, and --env-file chooses one', { skip }, async (t) => {
  const machine = install(t)
  const staging = UNIT.replaceAll('/etc/ellipsis-broker.env', '/etc/staging.env').replaceAll(
    '/var/lib/ellipsis-broker',
    '/var/lib/staging',
  )
  writeFileSync(join(machine.etc, 'systemd/system/ellipsis-broker-staging.service'), staging)
  writeFileSync(join(machine.etc, 'staging.env'), 'BROKER_PUBLIC_URL=https://staging.example.com\n')
  const { code, stderr } = await machine.run('app', 'list')
  t.equal(code, 2)
  t.match(stderr, `ellipsis-broker.service: ${FILE}`)
  t.match(stderr, 'ellipsis-broker-staging.service: /etc/staging.env')
  t.match(stderr, '--env-file FILE')
  const added = await machine.run('--env-file', '/etc/staging.env', ...ADD)
  t.match(added, {
    code: 0,
    stdout: 'https://staging.example.com/connect/',
    stderr: 'Store: /var/lib/staging',
  })
  t.match(await machine.run('--env-file', FILE, 'app', 'list'), {
    code: 2,
    stderr: `no database in ${STORE}`,
  })
})

t.test('commands in a container work on its volume', { skip }, async (t) => {
  const root = temporaryFolder(t)
  for (const name of ['data', 'etc']) mkdirSync(join(root, name))
  // The layout of the image: its environment, its user and its volume; everything else is this machine's.
  const text = readFileSync(join(import.meta.dirname, '../../deploy/Containerfile'), 'utf8')
  const user = /^USER (\S+)$/m.exec(text)?.[1] ?? ''
  const image = Object.fromEntries(
    (/^ENV (.*)$/m.exec(text)?.[1] ?? '')
      .split(' ')
      .map((pair) => pair.split('=') as [string, string]),
  )
  const others = readdirSync('/').filter((name) => !['data', 'etc', 'sys'].includes(name))
  const mounts = others.map(
    (name) =>
      `if [ -d /${name} ] && [ ! -L /${name} ]; then mkdir -p ${root}/${name} && mount --rbind /${name} ${root}/${name}; else cp -Pn /${name} ${root}/; fi`,
  )
  const prepare = [`mount -t tmpfs tmpfs ${root}`, `mkdir ${root}/data ${root}/etc`, ...mounts]
  const volume = temporaryFolder(t)
  const start = (args: string[], env: Record<string, string>) =>
    spawn(
      'unshare',
      [
        '--mount',
        'sh',
        '-c',
        `${prepare.join(' && ')} && chown ${user} ${volume} && mount --bind ${volume} ${root}/data && exec chroot --userspec=${user} ${root} ${process.execPath} -- ${PROGRAM} "$@"`,
        'sh',
        ...args,
      ],
      { env: { ...PROGRAM_ENV, ...image, ...env } },
    )
  const env = {
    ELLIPSIS_CLIENT_ID: 'one',
    ELLIPSIS_CLIENT_SECRET: 'secret',
    BROKER_PUBLIC_URL: 'https://broker.example.com',
    BROKER_PORT: '0',
  }
  t.match(await toEnd(start(['connection', 'list'], env)), {
    code: 2,
    stderr: 'no database in /data',
  })
  await running(t, start(['serve'], env))
  const added = await toEnd(start(ADD, env))
  t.match(added, { code: 0, stdout: 'https://broker.example.com/connect/' })
  t.equal(added.stderr, '', '/data is the default store of the image’s working directory')
  t.match(await toEnd(start(['app', 'list'], env)), { code: 0, stdout: idOf(added) })
  t.ok(existsSync(join(volume, 'broker.db')))
})

t.test('a settings file that can’t be read is an error', { skip }, async (t) => {
  const machine = install(t)
  const file = join(machine.elsewhere, 'mine.env')
  writeFileSync(file, '')
  chmodSync(file, 0o600)
  const named = { args: ['--env-file', file, 'app', 'list'], user: SERVICE_USER }
  t.match(await machine.run(named), { code: 2, stderr: `${file} cannot be read (EACCES)` })
  t.match(await machine.run('--env-file', 'none.env', 'app', 'list'), {
    code: 2,
    stderr: /none\.env does not exist\.\n.*--env-file/,
  })
})
