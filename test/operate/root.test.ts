import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import t from 'tap'
import type { Test } from 'tap'
import { program } from '../../server/cli/program.ts'
import { writeSettings } from '../../server/operate/env-file.ts'
import { command } from '../command.ts'
import { cli, serve } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

/** Makes a store. */
const ADD_APP = ['app', 'add', 'My map', '--device']
/** The broker's user. */
const USER = 65_534
const skip = process.geteuid?.() !== 0 && 'only root can make files for another user'

/** A data directory of the broker's user, with a store; a folder in which anybody can write. */
async function makeData(t: Test) {
  const folder = temporaryFolder(t)
  chmodSync(folder, 0o755)
  const [dataDir, shared] = [join(folder, 'data'), join(folder, 'shared')]
  mkdirSync(dataDir, { mode: 0o700 })
  chownSync(dataDir, USER, USER)
  mkdirSync(shared)
  chmodSync(shared, 0o777)
  const env = { BROKER_DATA_DIR: dataDir, ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3' }
  t.match(await asUser(ADD_APP, env), { code: 0 })
  return { folder, dataDir, shared, env }
}

/** Runs a command as the broker's user. */
const asUser = (args: string[], env: Record<string, string>) =>
  cli(args, env, '', { uid: USER, gid: USER })

/** Names in a directory that don't belong to the broker's user. */
const foreignIn = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const { uid, gid } = lstatSync(join(directory, name))
    return uid !== USER || gid !== USER
  })

t.test(
  'files that commands of root create belong to the owner of the data directory',
  { skip },
  async (t) => {
    const { dataDir, shared, env } = await makeData(t)
    const run = async (...args: string[]) => {
      t.match(await cli(args, env), { code: 0 }, args.join(' '))
      t.strictSame(foreignIn(dataDir), [], args.join(' '))
    }
    await run('secret', 'rotate')
    const file = join(shared, 'backup.db')
    await run('backup', file)
    await run('restore', file)
    await run('secret', 'check')
    const names = readdirSync(dataDir).map((name) => name.replace(/-\d{4}-.*/, ''))
    for (const name of ['broker.db.replaced', 'running']) t.ok(names.includes(name), name)
  },
)

/** Arguments of every command that works on the data directory; the others must not. */
const argumentsOf: Record<string, string[]> = {
  'app add': ['Map', '--redirect-uri', 'https://app.example.com/'],
  'app show': ['none'],
  'store copy': ['--to', 'postgres://127.0.0.1:1/none'],
  'app set': ['none', '--name', 'x'],
  'app remove': ['none'],
  'app rotate-secret': ['none'],
  'connection show': ['none'],
  'connection refresh': ['none'],
  'connection erase': ['none'],
  'connection revoke': ['none'],
  'connection import': ['/dev/null'],
  'admin add': ['a@example.com', '--password-stdin'],
  'admin remove': ['a@example.com'],
  'admin reset-password': ['a@example.com', '--password-stdin'],
  'admin remove-second-factor': ['a@example.com'],
  'key revoke': ['none'],
  'webhook add': ['https://ops.example.com/events'],
  'webhook show': ['none'],
  'webhook deliveries': ['none'],
  'webhook test': ['none'],
  'webhook replay': ['none', '--delivery', '1'],
  'webhook rotate-secret': ['none'],
  'webhook enable': ['none'],
  'webhook disable': ['none'],
  'webhook remove': ['none'],
  backup: ['/nowhere/backup.db'],
  restore: ['/dev/null'],
}
const WITHOUT_DATA = ['init', 'demo', 'stand-in', 'probe', 'licenses', 'health']

t.test('no command of root ends with the rights of root', { skip }, async (t) => {
  const { folder, env } = await makeData(t)
  const report = join(folder, 'report.mjs')
  writeFileSync(
    report,
    `process.on('exit', () => {
       const ids = [process.getuid(), process.geteuid(), process.getgid(), process.getegid(), ...process.getgroups()]
       process.stderr.write('ids ' + [...new Set(ids)].join())
     })`,
  )
  const settings = { ...env, ELLIPSIS_CLIENT_ID: 'id', ELLIPSIS_CLIENT_SECRET: 'secret' }
  for (const name of leaves(program())) {
    if (WITHOUT_DATA.includes(name) || name === 'serve') continue
    const args = [...name.split(' '), ...(argumentsOf[name] ?? [])]
    const options = { ...settings, NODE_OPTIONS: `--import=${report}` }
    const { stdout, stderr } = await cli(args, options, 'correct horse battery staple')
    t.match(stderr, new RegExp(`ids ${USER}$`), `${name}: ${stdout}${stderr}`)
  }
  const broker = await serve(t, settings)
  const status = readFileSync(`/proc/${broker.child.pid}/status`, 'utf8')
  t.match(status, new RegExp(`Uid:\\s+${USER}\\s+${USER}\\s+${USER}\\s+${USER}\n`), 'serve')
})

/** Full names of all commands without subcommands. */
const leaves = (command: Command, name = ''): string[] =>
  command.commands.flatMap((child) => {
    const full = `${name} ${child.name()}`.trim()
    return child.commands.length === 0 ? [full] : leaves(child, full)
  })

t.test('links of the broker’s user lead root nowhere', { skip }, async (t) => {
  const { folder, dataDir, env } = await makeData(t)
  const victim = join(folder, 'victim')
  mkdirSync(victim, { mode: 0o755 })
  writeFileSync(join(victim, 'file'), 'of root', { mode: 0o600 })
  const state = () => ['.', 'file'].map((name) => lstatSync(join(victim, name)).mode)
  const before = state()
  const moved = join(dataDir, 'moved')
  for (const name of ['running', 'broker.db', 'secret.key']) {
    const path = join(dataDir, name)
    for (const target of [victim, join(victim, 'file'), join(victim, 'new')]) {
      if (existsSync(path)) renameSync(path, moved)
      symlinkSync(target, path)
      await cli(['secret', 'rotate'], env)
      t.strictSame(readdirSync(victim), ['file'], `${name} to ${target}`)
      t.strictSame(state(), before)
      t.equal(readFileSync(join(victim, 'file'), 'utf8'), 'of root')
      renameSync(path, join(dataDir, 'link'))
      if (existsSync(moved)) renameSync(moved, path)
    }
  }
})

t.test(
  'a directory of root below one of another user counts as that user’s',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    chmodSync(folder, 0o755)
    const home = join(folder, 'home')
    mkdirSync(join(home, 'data'), { recursive: true, mode: 0o755 })
    chownSync(home, USER, USER)
    const env = { BROKER_DATA_DIR: join(home, 'data') }
    t.match(await cli(ADD_APP, env), { code: 2, stderr: /can’t be read and written/ })
    t.strictSame(readdirSync(join(home, 'data')), [])
    t.match(await cli(ADD_APP, { BROKER_DATA_DIR: join(home, 'new', 'data') }), { code: 0 })
    t.equal(lstatSync(join(home, 'new', 'data', 'broker.db')).uid, USER)
  },
)

t.test(
  'commands of root refuse a directory of root that others can change',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    chmodSync(folder, 0o755)
    const [dataDir, victim] = [join(folder, 'data'), join(folder, 'victim')]
    mkdirSync(victim, { mode: 0o755 })
    mkdirSync(dataDir)
    const env = { BROKER_DATA_DIR: dataDir, ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3' }
    for (const [mode, gid] of [
      [0o777, 0],
      [0o1777, 0],
      [0o775, USER],
    ] as const) {
      chownSync(dataDir, 0, gid)
      chmodSync(dataDir, mode)
      // What another user put there.
      const link = join(dataDir, 'start.lock')
      symlinkSync(join(victim, 'new'), link)
      const refused = await cli(ADD_APP, env)
      t.match(refused, { code: 2, stderr: `chmod go-w ${dataDir}` }, mode.toString(8))
      t.strictSame(readdirSync(victim), [])
      rmSync(link)
    }
    chmodSync(dataDir, 0o700)
    const below = { ...env, BROKER_DATA_DIR: join(dataDir, 'store') }
    t.match(await cli(ADD_APP, below), { code: 0 })
    chmodSync(dataDir, 0o777)
    t.match(await cli(['app', 'list'], below), { code: 2, stderr: `chmod go-w ${dataDir}` })
    chmodSync(dataDir, 0o1777)
    t.match(await cli(['app', 'list'], below), { code: 0 }, 'like /tmp')
  },
)

t.test('serve warns of files that other users can read', { skip }, async (t) => {
  const { dataDir, env } = await makeData(t)
  const settings = { ...env, ELLIPSIS_CLIENT_ID: 'id', ELLIPSIS_CLIENT_SECRET: 'secret' }
  const outputOf = async () => {
    const broker = await serve(t, settings)
    await broker.stop()
    return broker.output()
  }
  t.notMatch(await outputOf(), 'other users')
  chmodSync(join(dataDir, 'secret.key'), 0o644)
  t.match(
    await outputOf(),
    /"level":40.*chmod 600.*other users on this machine can read secret\.key/,
  )
})

t.test('a file that root put into the data directory is named', { skip }, async (t) => {
  for (const name of ['secret.key', 'broker.db']) {
    const { dataDir, env } = await makeData(t)
    const file = join(dataDir, name)
    chownSync(file, 0, 0)
    chmodSync(file, 0o600)
    const expected = { code: 2, stderr: `${file} belongs to user 0, and the data directory to` }
    t.match(await cli(['key', 'list'], env), expected, `as root: ${name}`)
    t.match(await asUser(['key', 'list'], env), expected, `as the broker’s user: ${name}`)
    chownSync(file, USER, USER)
    t.match(await cli(['key', 'list'], env), { code: 0 }, `fixed: ${name}`)
  }
})

t.test('a data directory that its owner can’t reach is explained', { skip }, async (t) => {
  const { folder, env } = await makeData(t)
  chmodSync(folder, 0o700)
  const { code, stderr } = await cli(['key', 'list'], env)
  t.equal(code, 2)
  t.match(stderr, `belongs to user ${USER}`)
  t.match(stderr, /that user can’t reach it.*DynamicUser=yes/s)
})

t.test('doctor reports files of another user, as root and as that user', { skip }, async (t) => {
  const dataDir = temporaryFolder(t)
  const env = { BROKER_DATA_DIR: dataDir, ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3' }
  const firstLine = async (result: Promise<{ stdout: string }>) =>
    (await result).stdout.split('\n')[0]
  t.equal((await command(['app', 'add', 'My map', '--device'], env)).code, 0)
  t.match(
    await firstLine(asUser(['doctor'], env)),
    /can’t be read and written by this user \(EACCES\)/,
  )
  chownSync(dataDir, USER, USER)
  t.match(await firstLine(cli(['doctor'], env)), /PROBLEM.*broker\.db.*secret\.key.*another user/)
})

t.test('a .env that root writes keeps its owner', { skip }, async (t) => {
  const file = join(temporaryFolder(t), '.env')
  writeFileSync(file, 'A=1\n')
  chownSync(file, USER, USER)
  writeSettings(file, ['B=2'])
  const { uid, gid } = lstatSync(file)
  t.strictSame([uid, gid], [USER, USER])
})
