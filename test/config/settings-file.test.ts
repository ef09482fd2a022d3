import { chmodSync, chownSync, lchownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readEnvironment } from '../../server/config/config.ts'
import { readTrustedText, shellWord } from '../../server/config/settings-file.ts'
import { writeSettings } from '../../server/operate/env-file.ts'
import { cli } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

const NOBODY = 65_534
const isRoot = process.geteuid?.() === 0
const asRoot = { skip: !isRoot && 'only root can make files of another user' }
const onPosix = { skip: process.platform === 'win32' && 'Windows has no modes' }

function writeEnv(folder: string, mode = 0o600): string {
  const file = join(folder, '.env')
  writeFileSync(file, 'BROKER_PORT=4000\n')
  chmodSync(file, mode)
  return file
}

t.test(
  'a .env that other users can write is refused, with the command that fixes it',
  onPosix,
  async (t) => {
    const folder = temporaryFolder(t)
    for (const mode of [0o600, 0o400, 0o644, 0o640, 0o755]) {
      writeEnv(folder, mode)
      t.match(readEnvironment({}, folder), { BROKER_PORT: '4000' }, mode.toString(8))
    }
    for (const mode of [0o620, 0o602, 0o664, 0o666, 0o777]) {
      const file = writeEnv(folder, mode)
      t.throws(() => readEnvironment({}, folder), {
        name: 'ConfigError',
        problems: [
          {
            name: file,
            problem: `can be changed by other users: it belongs to user ${process.geteuid?.()} and has the mode 0${mode.toString(8)}.`,
            fix: `Check what is in it, then run: chmod go-w ${file}`,
          },
        ],
      })
      chmodSync(file, mode & ~0o022)
      t.match(readEnvironment({}, folder), { BROKER_PORT: '4000' }, 'the fix works')
    }
  },
)

t.test(
  'a command in another user’s directory does not believe the .env there',
  asRoot,
  async (t) => {
    const folder = temporaryFolder(t)
    chmodSync(folder, 0o755)
    const file = writeEnv(folder, 0o644)
    chownSync(file, NOBODY, NOBODY)
    const doctor = () =>
      cli(['doctor'], { BROKER_DATA_DIR: join(folder, 'none') }, '', undefined, folder)
    const refused = await doctor()
    t.equal(refused.code, 2)
    t.match(
      refused.stderr,
      `${file} belongs to another user: its owner is user ${NOBODY}, its mode is 0644`,
    )
    t.match(refused.stderr, `chown -h 0 ${file}`)
    t.equal(refused.stdout, '')
    chownSync(file, 0, 0)
    t.match((await doctor()).stdout, /there is no database/)
  },
)

t.test(
  'a link that another user made is refused, and root’s files are accepted by all',
  asRoot,
  async (t) => {
    const folder = temporaryFolder(t)
    chmodSync(folder, 0o755)
    const [elsewhere, own] = [join(folder, 'elsewhere'), join(folder, 'own')]
    for (const one of [elsewhere, own]) mkdirSync(one)
    const target = writeEnv(elsewhere, 0o644)
    const link = join(own, '.env')
    symlinkSync(target, link)
    t.equal(readTrustedText(link), 'BROKER_PORT=4000\n')
    lchownSync(link, NOBODY, NOBODY)
    t.throws(() => readTrustedText(link), /belongs to another user/)
    const nobody = { uid: NOBODY, gid: NOBODY }
    const doctor = await cli(
      ['doctor'],
      { BROKER_DATA_DIR: join(folder, 'none') },
      '',
      nobody,
      elsewhere,
    )
    t.match(doctor.stdout, /there is no database/)
  },
)

t.test('settings are not written where another user can replace the file', onPosix, async (t) => {
  const folder = temporaryFolder(t)
  chmodSync(folder, 0o777)
  t.throws(() => writeSettings(join(folder, '.env'), ['A=1']), /can be changed by other users/)
  chmodSync(folder, 0o755)
  writeSettings(join(folder, '.env'), ['A=1'])
  t.equal(readTrustedText(join(folder, '.env')), 'A=1\n')
})

t.test('a path in a command is one word', async (t) => {
  t.equal(shellWord('/etc/a-b.env'), '/etc/a-b.env')
  t.equal(shellWord("/it's here/.env"), "'/it'\\''s here/.env'")
})
