import { chownSync, lstatSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { keepCopy } from '../../db/data-directory/copy.ts'
import { extractAddon } from '../../server/data/native-addon.ts'
import { writeSettings } from '../../server/operate/env-file.ts'
import { command } from '../command.ts'
import { cli } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

/** The broker's user. */
const USER = 65_534
const skip = process.geteuid?.() !== 0 && 'only root can make files for another user'

t.test('files that root creates belong to the owner of the data directory', { skip }, async (t) => {
  const [dataDir, elsewhere] = [temporaryFolder(t), temporaryFolder(t)]
  chownSync(dataDir, USER, USER)
  const env = { BROKER_DATA_DIR: dataDir }
  const run = async (...args: string[]) => {
    t.match(await command(args, env), { code: 0 }, args.join(' '))
    const foreign = readdirSync(dataDir, { recursive: true, encoding: 'utf8' }).filter((name) => {
      const { uid, gid } = lstatSync(join(dataDir, name))
      return uid !== USER || gid !== USER
    })
    t.strictSame(foreign, [], args.join(' '))
  }
  await run('app', 'add', 'My map', '--device')
  t.ok(readdirSync(dataDir).includes('running'))
  await run('secret', 'rotate')
  const file = join(elsewhere, 'backup.db')
  await run('backup', file)
  t.equal(lstatSync(file).uid, 0, 'a backup belongs to the user who makes it')
  await run('restore', file)
  await keepCopy('upgrade', dataDir, undefined)
  extractAddon(Buffer.from('code'), join(dataDir, 'native'), 'addon')
  await run('secret', 'check')
  const names = readdirSync(dataDir).map((name) => name.replace(/-\d{4}-.*/, ''))
  for (const name of ['broker.db.replaced', 'broker.db.before-upgrade', 'native']) {
    t.ok(names.includes(name), name)
  }
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
  t.match(
    await firstLine(command(['doctor'], env)),
    /PROBLEM.*broker\.db.*secret\.key.*another user/,
  )
})

t.test('a .env that root writes keeps its owner', { skip }, async (t) => {
  const file = join(temporaryFolder(t), '.env')
  writeFileSync(file, 'A=1\n')
  chownSync(file, USER, USER)
  writeSettings(file, ['B=2'])
  const { uid, gid } = lstatSync(file)
  t.strictSame([uid, gid], [USER, USER])
})

/** Runs a command as the broker's user. */
const asUser = (args: string[], env: Record<string, string>) =>
  cli(args, env, '', { uid: USER, gid: USER })
