import {
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { registerProcess } from '../../db/data-directory/presence.ts'
import { runtime } from '../../server/runtime.ts'
import { connectMany } from './load.ts'
import { buildHeadless, makeBackup, restoreBackup, swapOutcome } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

const leftoversIn = (dataDir: string) =>
  readdirSync(dataDir).filter((name) => name.includes('restoring'))

t.test('a damaged store is replaced with --accept-revoked', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  const devices = await connectMany(first, 30)
  const file = await makeBackup(t, setup)
  await first.stop()
  const path = join(setup.dataDir, 'broker.db')
  const client = new Database(path)
  const roots = client
    .prepare("select rootpage from sqlite_schema where tbl_name = 'grants' and rootpage > 0")
    .pluck()
  const size = client.pragma('page_size', { simple: true }) as number
  const pages = (roots.all() as number[]).map((root) => (root - 1) * size)
  client.close()
  const bytes = readFileSync(path)
  for (const page of pages) bytes.fill(7, page, page + size)
  writeFileSync(path, bytes)
  await t.rejects(restoreBackup(setup, file), { code: 'restore.incomparable' })
  t.strictSame(leftoversIn(setup.dataDir), [], 'no copy of the tokens is left')
  t.match(await restoreBackup(setup, file, { acceptRevoked: true }), /^Restored 30 connections/)
  const again = await setup.start()
  t.equal(await swapOutcome(again, devices[0]?.token ?? ''), 'ok')
})

t.test('a restore revokes the pending connections of a confirmed bulk revocation', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  const devices = await connectMany(first, 4)
  const { bulks } = first.services
  const [, confirmed] = [await bulks.begin(['con_1'], 'test'), await bulks.begin(['con_2'], 'test')]
  const file = await makeBackup(t, setup)
  await bulks.confirm(confirmed, 'test')
  await first.stop()
  t.match(await restoreBackup(setup, file), /carried over: connections revoked: 1/)
  const again = await setup.start()
  const outcomes = await Promise.all(devices.map(({ token }) => swapOutcome(again, token)))
  t.strictSame(outcomes, ['ok', 'ok', 'connection_revoked', 'ok'])
})

t.test('a previous store can be restored, as of its own time', async (t) => {
  const setup = await buildHeadless(t)
  const first = await setup.start()
  await connectMany(first, 2)
  const file = await makeBackup(t, setup)
  await first.stop()
  await restoreBackup(setup, file)
  const [previous = ''] = readdirSync(setup.dataDir).filter((name) => name.includes('replaced'))
  const path = join(setup.dataDir, previous)
  utimesSync(path, 1_750_000_000, 1_750_000_000)
  t.match(await restoreBackup(setup, path, { acceptRevoked: true }), /as of 2025-06-15/)
  const [again = ''] = readdirSync(setup.dataDir).filter(
    (name) => name.includes('replaced') && name !== previous,
  )
  utimesSync(join(setup.dataDir, again), 1_760_000_000, 1_760_000_000)
  const restored = restoreBackup(setup, join(setup.dataDir, again), { acceptRevoked: true })
  t.match(
    await restored,
    /as of 2025-10-09/,
    'a restored store has its own time, not that of its backup',
  )
})

t.test(
  'the current store is rejected under any name, and a key is kept while its tokens are valid',
  async (t) => {
    const setup = await buildHeadless(t)
    const first = await setup.start()
    const file = await makeBackup(t, setup)
    const { kid } = await first.services.keys.current('EdDSA')
    await connectMany(first, 1)
    await first.stop()
    const link = join(temporaryFolder(t), 'link')
    symlinkSync(join(setup.dataDir, 'broker.db'), link)
    await t.rejects(restoreBackup(setup, link), { code: 'restore.itself' })
    await restoreBackup(setup, file)
    const keys = await (await setup.start()).services.keys.list()
    t.ok(
      keys.find((key) => key.kid === kid)?.tokensUntil,
      'as long as tokens that it signed since are valid',
    )
  },
)

t.test('a database that is gone while a broker runs is not created again', async (t) => {
  const setup = await buildHeadless(t)
  await (await setup.start()).stop()
  const path = join(setup.dataDir, 'broker.db')
  const brokerProcess = { pid: 77, command: 'serve', startedAt: runtime.clock.now(), keyIds: [] }
  const other = registerProcess(setup.dataDir, undefined, brokerProcess)
  renameSync(path, `${path}.moved`)
  await t.rejects(setup.start(), /is gone, but these processes still have it open: 77/)
  t.notOk(readdirSync(setup.dataDir).includes('broker.db'))
  other.unregister()
  renameSync(`${path}.moved`, path)
  writeFileSync(join(setup.dataDir, 'broker.db.restoring'), 'tokens')
  await (await setup.start()).stop()
  t.strictSame(
    leftoversIn(setup.dataDir),
    [],
    'a start removes the leftovers of an interrupted restore',
  )
})
