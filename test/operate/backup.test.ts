import { once } from 'node:events'
import * as fs from 'node:fs'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { constants, getPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { inspectDatabase } from '../../db/data-directory/copy.ts'
import { withStartLock } from '../../db/data-directory/open.ts'
import { backup } from '../../server/operate/backup.ts'
import { backupAndRotate } from '../../server/operate/backup-rotation.ts'
import { runtime } from '../../server/runtime.ts'
import { buildBroker } from '../helper.ts'
import { createKills, addBallast, holdWrites, killRounds, sizeOf } from '../kill.ts'
import type { KillPoint } from '../kill.ts'
import { runCli, serve } from '../processes.ts'
import { connectMany, startLoad } from './load.ts'
import { buildHeadless, damage } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

const isLow = (pid = 0): boolean => getPriority(pid) >= constants.priority.PRIORITY_LOW

const make = (dataDir: string, file: string) => backup({ dataDir }, file, runtime)

t.test('a backup is complete and private, and names its keys', async (t) => {
  const { dataDir, start } = await buildHeadless(t)
  const broker = await start()
  await connectMany(broker, 3)
  const folder = temporaryFolder(t)
  const file = join(folder, "it's a backup.db")
  const text = await make(dataDir, file)
  const key = broker.services.vault.keyId()
  t.match(text, 'Backed up 3 connections')
  t.match(text, `only with the encryption keys ${key}, and does not contain them`)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.strictSame(readdirSync(folder), ["it's a backup.db"])
  const found = inspectDatabase(file, undefined)
  t.match(found, { problems: [], connections: 3, meta: { secret_fingerprints: key } })
  t.ok(found.migrations.length > 0)
  const secret = readFileSync(join(dataDir, 'secret.key'), 'utf8').trim()
  t.notOk(readFileSync(file).includes(secret))
})

t.test('a backup overwrites no file, and reports what prevents it', async (t) => {
  const { dataDir, start } = await buildHeadless(t)
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'taken'), 'x')
  await start()
  await t.rejects(make(dataDir, join(folder, 'taken')), { code: 'backup.exists' })
  t.equal(readFileSync(join(folder, 'taken'), 'utf8'), 'x')
  await t.rejects(make(dataDir, join(folder, 'no', 'a')), { code: 'backup.no-directory' })
  const meanwhile = make(dataDir, join(folder, 'meanwhile'))
  writeFileSync(join(folder, 'meanwhile'), 'y')
  await t.rejects(meanwhile, { code: 'backup.exists' })
  t.equal(readFileSync(join(folder, 'meanwhile'), 'utf8'), 'y')
  await t.rejects(make(dataDir, '/proc/backup'), { code: 'backup.failed' })
  mkdirSync(join(folder, 'b.part'))
  await t.rejects(make(dataDir, join(folder, 'b')), {
    code: 'backup.failed',
    message: /b\.part\. No partial backup is left/,
  })
  t.ok(existsSync(join(folder, 'b.part')), 'a directory of that name is not a leftover')
  await t.rejects(make(dataDir, folder), { code: 'backup.is-directory', exitCode: 2 })
})

t.test(
  'a place that can’t be written is told with the user who can’t',
  { skip: process.platform !== 'linux' && 'needs a directory where nobody can write' },
  async (t) => {
    const { dataDir, start } = await buildHeadless(t)
    await start()
    const user = `User ${process.geteuid?.()} can’t write /sys`
    await t.rejects(make(dataDir, '/sys/backup.db'), { code: 'backup.forbidden', message: user })
    await t.rejects(backupAndRotate({ dataDir }, '/sys', 2, runtime), {
      code: 'backup.forbidden',
      message: user,
    })
  },
)

t.test('a backup works on a file system without links', async (t) => {
  const { dataDir, start } = await buildHeadless(t)
  await start()
  const file = join(temporaryFolder(t), 'backup')
  const { backup: elsewhere } = await t.mockImport<{ backup: typeof backup }>(
    '../../server/operate/backup.ts',
    {
      'node:fs': t.createMock(fs, {
        linkSync() {
          throw Object.assign(new Error('no links'), { code: 'EPERM' })
        },
      }),
    },
  )
  t.match(await elsewhere({ dataDir }, file, runtime), /^Backed up/)
  t.strictSame(inspectDatabase(file, undefined).problems, [])
})

t.test('a damaged store is not backed up', async (t) => {
  const { dataDir, start } = await buildHeadless(t)
  const broker = await start()
  await connectMany(broker, 30)
  await broker.stop()
  const path = join(dataDir, 'broker.db')
  damage(path)
  await t.rejects(make(dataDir, join(temporaryFolder(t), 'a')), { code: 'backup.damaged' })
  const bytes = readFileSync(path)
  writeFileSync(
    path,
    Buffer.concat([bytes.subarray(0, 4096), Buffer.alloc(bytes.length - 4096, 7)]),
  )
  const file = join(temporaryFolder(t), 'a')
  await t.rejects(make(dataDir, file), /is damaged, or is not a database/)
  t.notOk(existsSync(file))
  t.notOk(existsSync(`${file}.part`))
})

t.test('a backup killed at any point under load leaves no file or a complete one', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  const devices = await connectMany(broker, 40)
  addBallast(join(broker.dataDir, 'broker.db'))
  const other = await serve(t, broker.env)
  const load = startLoad(t, broker, [broker.url, other.url], devices, 2)
  const folder = temporaryFolder(t)
  const whole = join(folder, 'whole.db')
  await make(broker.dataDir, whole)
  const pointsOf = (file: string): KillPoint[] => {
    const copied = () => sizeOf(`${file}.part`) / sizeOf(whole)
    const isFinal = () => existsSync(file)
    const isStarted = () => existsSync(`${file}.part`) && !isFinal()
    const isHalf = () => copied() > 0.4 && copied() < 0.9
    const isChecked = () => copied() > 0.99 && !isFinal()
    return [
      { name: 'half is copied', reached: isHalf, holds: isHalf },
      { name: 'it is checked', reached: isChecked, holds: isChecked, laterByMs: 10 },
      { name: 'it has its final name', reached: isFinal },
      { name: 'the copy has started', reached: isStarted, holds: isStarted, laterByMs: 20 },
    ]
  }
  const kills = createKills(t)
  const found = { nothing: 0, part: 0, whole: 0 }
  for (let round = 0; round < killRounds; round++) {
    const file = join(folder, `${round}.db`)
    const points = pointsOf(file)
    const point = points[round % points.length]
    if (!point) break
    // The backup waits for this lock before the copy, already at low priority.
    const held = holdWrites(join(broker.dataDir, 'start.lock'))
    const child = runCli(['backup', file], broker.env)
    const near = () => {
      if (!isLow(child.pid)) return false
      held.release()
      return true
    }
    const landed = await kills.at(child, { ...point, near })
    held.release()
    if (landed) t.equal(existsSync(file), point.name === 'it has its final name', point.name)
    if (existsSync(file)) {
      found.whole++
      t.strictSame(inspectDatabase(file, undefined).problems, [])
    } else {
      found[existsSync(`${file}.part`) ? 'part' : 'nothing']++
      t.match(await make(broker.dataDir, file), 'Backed up 40 connections')
      t.notOk(existsSync(`${file}.part`), 'the leftover is removed')
    }
    t.equal(inspectDatabase(file, undefined).connections, 40)
    rmSync(file)
  }
  t.comment(JSON.stringify(found))
  t.ok(found.part > 0, 'some were killed in the middle')
  kills.check()
  t.strictSame(Object.keys(await load.stop()), ['200'])
})

t.test('a backup runs at low priority', async (t) => {
  const { dataDir, env, start } = await buildHeadless(t)
  await start()
  const child = runCli(['backup', join(temporaryFolder(t), 'a')], env)
  const closed = once(child, 'close')
  // The lock keeps it running until its priority is read.
  await withStartLock(dataDir, undefined, async () => {
    while (child.exitCode === null && !isLow(child.pid)) await sleep(5)
  })
  t.strictSame(await closed, [0, null])
})
