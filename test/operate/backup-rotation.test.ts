import * as fs from 'node:fs'
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { inspectDatabase } from '../../db/data-directory/copy.ts'
import { backupAndRotate } from '../../server/operate/backup-rotation.ts'
import { runtime } from '../../server/runtime.ts'
import { command } from '../command.ts'
import { cli } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'
import { buildHeadless, damage } from './headless.ts'
import type { HeadlessSetup } from './headless.ts'
import { connectMany } from './load.ts'

const DAY_MS = 86_400_000

/** Makes a backup a day. */
async function backUp({ dataDir, clock }: HeadlessSetup, folder: string, days: number, keep = 3) {
  let text = ''
  for (let day = 0; day < days; day++) {
    clock.advance(DAY_MS)
    text = await backupAndRotate({ dataDir }, folder, keep, { clock, random: runtime.random })
  }
  return text
}

const backupsIn = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.startsWith('broker-'))
    .sort()

t.test('the newest backups are kept, and each of them opens', async (t) => {
  const setup = await buildHeadless(t)
  await connectMany(await setup.start(), 2)
  const folder = temporaryFolder(t)
  const [first = ''] = (await backUp(setup, folder, 1), backupsIn(folder))
  await backUp(setup, folder, 2)
  t.equal(backupsIn(folder).length, 3)
  const before = backupsIn(folder)
  const text = await backUp(setup, folder, 1)
  t.match(text, `Backups kept in ${folder}: 3. Deleted: ${first}.`)
  t.strictSame(backupsIn(folder).slice(0, 2), before.slice(1))
  for (const name of backupsIn(folder)) {
    t.match(inspectDatabase(join(folder, name), undefined), { problems: [], connections: 2 })
  }
  await backUp(setup, folder, 1, 1)
  t.equal(backupsIn(folder).length, 1, 'a smaller number deletes more')
})

t.test('only backups of this store are deleted', async (t) => {
  const setup = await buildHeadless(t)
  await setup.start()
  const folder = temporaryFolder(t)
  const other = await buildHeadless(t)
  await other.start()
  await backUp(other, folder, 1)
  const foreign = readdirSync(folder).filter((name) => name.startsWith('broker-'))
  writeFileSync(join(folder, 'broker-2020-01-01T00-00-00Z.db'), 'notes')
  mkdirSync(join(folder, 'broker-2020-01-02T00-00-00Z.db'))
  copyFileSync(join(setup.dataDir, 'broker.db'), join(folder, 'broker-2020-01-03T00-00-00Z.db'))
  symlinkSync(join(setup.dataDir, 'broker.db'), join(folder, 'broker-2020-01-04T00-00-00Z.db'))
  writeFileSync(join(folder, 'broker-today.db'), 'another name')
  await backUp(other, folder, 1)
  const before = readdirSync(folder)
  setup.clock.advance(7 * DAY_MS)
  await backUp(setup, folder, 2, 1)
  const after = readdirSync(folder)
  t.strictSame(
    before.filter((name) => !after.includes(name)),
    [],
  )
  t.equal(after.length, before.length + 1)
  t.ok(foreign.every((name) => after.includes(name)))
})

t.test('a backup that fails deletes nothing', async (t) => {
  const setup = await buildHeadless(t)
  const broker = await setup.start()
  const folder = temporaryFolder(t)
  await backUp(setup, folder, 2)
  const before = backupsIn(folder)
  await broker.stop()
  damage(join(setup.dataDir, 'broker.db'))
  await t.rejects(backUp(setup, folder, 1, 1), { code: 'backup.damaged', exitCode: 1 })
  t.strictSame(backupsIn(folder), before)
})

t.test('a clock that was set back never deletes the new backup', async (t) => {
  const setup = await buildHeadless(t)
  await setup.start()
  const folder = temporaryFolder(t)
  await backUp(setup, folder, 2, 2)
  const { dataDir, clock } = setup
  const earlier = { ...clock, now: () => clock.now() - 30 * DAY_MS }
  const text = await backupAndRotate({ dataDir }, folder, 2, {
    clock: earlier,
    random: runtime.random,
  })
  const [, made = ''] = /to \S*\/(broker-\S+\.db)/.exec(text) ?? []
  t.ok(backupsIn(folder).includes(made))
  t.equal(backupsIn(folder).length, 2)
})

t.test('one backup at a time, and a killed one leaves no partial file for long', async (t) => {
  const setup = await buildHeadless(t)
  await setup.start()
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'broker-2020-01-01T00-00-00Z.db.part'), 'of a killed command')
  const [one, other] = await Promise.allSettled([
    backUp(setup, folder, 1),
    backUp(setup, folder, 1),
  ])
  t.strictSame([one.status, other.status].sort(), ['fulfilled', 'rejected'])
  t.match(
    [one, other].find(({ status }) => status === 'rejected'),
    {
      reason: { code: 'backup.running', exitCode: 1 },
    },
  )
  t.strictSame(
    readdirSync(folder).filter((name) => name.endsWith('.part')),
    [],
  )
  await t.rejects(backUp(setup, join(folder, 'none'), 1), { code: 'backup.no-directory' })
  const [file = ''] = backupsIn(folder)
  await t.rejects(backUp(setup, join(folder, file), 1), { code: 'backup.not-directory' })
})

t.test('the command of the timer’s unit backs up beside a running broker', async (t) => {
  const { dataDir, env, start } = await buildHeadless(t)
  await connectMany(await start(), 2)
  const unit = readFileSync(
    join(import.meta.dirname, '../../deploy/ellipsis-broker-backup.service'),
    'utf8',
  )
  const [, line = ''] = /^ExecStart=\/usr\/local\/bin\/ellipsis-broker (.*)$/m.exec(unit) ?? []
  const folder = temporaryFolder(t)
  const args = line.replace('/var/lib/ellipsis-broker-backups', folder).split(' ')
  const { code, stdout, stderr } = await cli(args, { ...env, BROKER_DATA_DIR: dataDir })
  t.equal(code, 0, stderr)
  t.match(stdout, /^Backed up 2 connections to .*Backups kept in .*: 1\. Deleted: none\./s)
  for (const keep of ['0', '-1', 'x', '1.5']) {
    t.equal((await command(['backup', `--keep=${keep}`, folder], env)).code, 2, keep)
  }
  const wrong = { ...env, BROKER_DATA_DIR: join(folder, 'none') }
  const { code: wrongCode } = await command(['backup', '--keep', '2', folder], wrong)
  t.equal(wrongCode, 2, 'a wrong directory is an error')
  const client = new Database(join(folder, backupsIn(folder)[0] ?? ''), { readonly: true })
  t.teardown(() => client.close())
  t.ok(client.prepare('select 1 from connections').get())
})

t.test(
  'an old backup that can’t be deleted fails the command, and the new one stays',
  async (t) => {
    const setup = await buildHeadless(t)
    await setup.start()
    const folder = temporaryFolder(t)
    await backUp(setup, folder, 1)
    const rmSync = (path: string, options?: fs.RmOptions) => {
      if (path.endsWith('.db')) throw new Error('EPERM: operation not permitted')
      fs.rmSync(path, options)
    }
    const { backupAndRotate: forbidden } = await t.mockImport<{
      backupAndRotate: typeof backupAndRotate
    }>('../../server/operate/backup-rotation.ts', { 'node:fs': t.createMock(fs, { rmSync }) })
    setup.clock.advance(DAY_MS)
    const { dataDir, clock } = setup
    await t.rejects(forbidden({ dataDir }, folder, 1, { clock, random: runtime.random }), {
      code: 'backup.not-deleted',
      exitCode: 1,
    })
    t.equal(backupsIn(folder).length, 2)
  },
)
