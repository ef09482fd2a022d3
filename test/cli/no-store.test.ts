import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import t from 'tap'
import { program } from '../../server/cli/program.ts'
import { command } from '../command.ts'
import { migratedFolder } from '../db/temporary.ts'
import { RETURN } from '../helper.ts'
import { temporaryFolder } from '../temporary.ts'

/** These need no store, or make one. */
const WITHOUT_STORE = ['serve', 'demo', 'init', 'stand-in', 'probe', 'licenses']
const client = { ELLIPSIS_CLIENT_ID: 'one', ELLIPSIS_CLIENT_SECRET: 'secret' }
/** A service's, so that this machine's own service is not looked for. */
const env = { ...client, ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3' }

/** Every command that works on a store, with arguments. */
function* commands(parent: Command = program(), names: string[] = []): Generator<string[]> {
  for (const child of parent.commands) {
    const path = [...names, child.name()]
    if (child.commands.length > 0) yield* commands(child, path)
    else if (!WITHOUT_STORE.includes(path.join(' '))) {
      const values = child.registeredArguments.map((one) =>
        one.name() === 'file' && path[0] === 'connection' ? '/dev/null' : 'value',
      )
      const has = (option: string) => child.options.some(({ long }) => long === option)
      const options = [
        ...(has('--device') ? ['--device'] : []),
        ...(path[0] === 'store' && has('--to') ? ['--to', 'postgres://127.0.0.1:1/none'] : []),
      ]
      yield [...path, ...values, ...options]
    }
  }
}

t.test(
  'without a store every command fails, says where it looked, and makes nothing',
  async (t) => {
    // `health` asks a running broker.
    const all = [...commands()].filter(([name]) => name !== 'health')
    t.ok(all.length > 20)
    for (const args of all) {
      const cwd = temporaryFolder(t)
      const { code, stderr } = await command(args, env, 'a long enough password', cwd)
      const name = args.join(' ')
      t.equal(code, 2, name)
      t.match(stderr, `There is no database in ${cwd}/data.`, name)
      t.match(stderr, `the environment (there is no ${cwd}/.env)`, name)
      t.match(stderr, '--env-file FILE', name)
      t.strictSame(readdirSync(cwd), [], name)
    }
  },
)

t.test(
  'only the first app or admin makes a store, in a directory that BROKER_DATA_DIR names',
  async (t) => {
    const makers = [
      ['app', 'add', 'My map', '--redirect-uri', RETURN],
      ['admin', 'add', 'ada@example.com', '--password-stdin'],
    ]
    for (const args of makers) {
      const cwd = temporaryFolder(t)
      const named = { ...env, BROKER_DATA_DIR: join(cwd, 'named') }
      const list = [args[0] ?? '', 'list']
      t.match(await command(list, named, '', cwd), { code: 2, stderr: 'named' })
      t.strictSame(readdirSync(cwd), [])
      const made = await command(args, named, 'correct horse battery', cwd)
      t.match(made, { code: 0, stderr: `Store: ${cwd}/named (settings: environment)\n` })
      t.match(await command(list, named, '', cwd), { code: 0 })
      t.strictSame(readdirSync(cwd), ['named'])
    }
  },
)

t.test(
  'the default store of this directory is not announced, and JSON is alone on standard output',
  async (t) => {
    const cwd = temporaryFolder(t)
    const store = { BROKER_DATA_DIR: join(cwd, 'data') }
    await command(['app', 'add', 'My map', '--device'], { ...env, ...store }, '', cwd)
    const own = await command(['app', 'list', '--json'], env, '', cwd)
    t.match(own, { code: 0, stderr: '' })
    const elsewhere = temporaryFolder(t)
    const other = await command(['app', 'list', '--json'], { ...env, ...store }, '', elsewhere)
    t.equal(other.stdout, own.stdout)
    t.match(JSON.parse(other.stdout), [{ name: 'My map' }])
    t.equal(other.stderr, `Store: ${cwd}/data (settings: environment)\n`)
  },
)

t.test('--env-file names the settings file, and no other is read', async (t) => {
  const cwd = temporaryFolder(t)
  const [one, other] = [await migratedFolder(t), await migratedFolder(t)]
  writeFileSync(join(cwd, '.env'), `BROKER_DATA_DIR=${one}\nBROKER_PUBLIC_URL=nonsense\n`)
  const file = join(cwd, 'other.env')
  writeFileSync(file, `BROKER_DATA_DIR=${other}\nBROKER_PUBLIC_URL=https://other.example.com\n`)
  const add = ['app', 'add', 'My map', '--device']
  t.match(await command(add, {}, '', cwd), { code: 2, stderr: /BROKER_PUBLIC_URL.*\/\.env\.\n$/s })
  const named = await command(['--env-file', 'other.env', ...add], {}, '', cwd)
  t.match(named, { code: 0, stdout: 'https://other.example.com/connect/' })
  t.equal(named.stderr, `Store: ${other} (settings: environment, ${file})\n`)
  const overridden = await command(['--env-file', file, ...add], { BROKER_DATA_DIR: one }, '', cwd)
  t.match(overridden, { code: 0, stderr: `Store: ${one} ` }, 'the environment overrides it')
  const missing = await command(['--env-file', 'none.env', 'app', 'list'], {}, '', cwd)
  t.match(missing, { code: 2, stderr: `${cwd}/none.env does not exist.` })
  const folder = await command(['--env-file', '.', 'app', 'list'], {}, '', cwd)
  t.match(folder, { code: 2, stderr: 'cannot be read (EISDIR)' })
})

t.test('a directory that this user can’t look into is not called empty', async (t) => {
  if (process.geteuid?.() === 0) return t.comment('root can look into every directory')
  const cwd = temporaryFolder(t)
  mkdirSync(join(cwd, 'data'))
  chmodSync(join(cwd, 'data'), 0)
  t.match(await command(['app', 'list'], env, '', cwd), { code: 2, stderr: 'can’t be read' })
})
