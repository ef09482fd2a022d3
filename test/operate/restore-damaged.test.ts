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
import { makeBackup, putBack } from './backups.ts'
import { connectMany } from './load.ts'
import { buildHeadless, outcome } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

const left = (dataDir: string) => readdirSync(dataDir).filter((name) => name.includes('restoring'))

t.test('a damaged store is replaced where that is accepted', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  const devices = await connectMany(first, 30)
  const file = await makeBackup(t, place)
  await first.stop()
  const path = join(place.dataDir, 'broker.db')
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
  await t.rejects(putBack(place, file), { code: 'restore.incomparable' })
  t.strictSame(left(place.dataDir), [], 'no copy of the tokens stays')
  t.match(await putBack(place, file, { acceptRevoked: true }), /^Restored 30 connections/)
  const again = await place.start()
  t.equal(await outcome(again, devices[0]?.token ?? ''), 'ok')
})

t.test('whom a confirmed bulk revocation had still to revoke is revoked', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  const devices = await connectMany(first, 4)
  const { bulks } = first.services
  const [, confirmed] = [await bulks.begin(['con_1'], 'test'), await bulks.begin(['con_2'], 'test')]
  const file = await makeBackup(t, place)
  await bulks.confirm(confirmed, 'test')
  await first.stop()
  t.match(await putBack(place, file), /ended here too: 1 connections/)
  const again = await place.start()
  const outcomes = await Promise.all(devices.map(({ token }) => outcome(again, token)))
  t.strictSame(outcomes, ['ok', 'ok', 'connection_revoked', 'ok'])
})

t.test('a store that was put aside can be put back, as of when it was', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  await connectMany(first, 2)
  const file = await makeBackup(t, place)
  await first.stop()
  await putBack(place, file)
  const [aside = ''] = readdirSync(place.dataDir).filter((name) => name.includes('replaced'))
  const path = join(place.dataDir, aside)
  utimesSync(path, 1_750_000_000, 1_750_000_000)
  t.match(await putBack(place, path, { acceptRevoked: true }), /as of 2025-06-15/)
  const [again = ''] = readdirSync(place.dataDir).filter(
    (name) => name.includes('replaced') && name !== aside,
  )
  utimesSync(join(place.dataDir, again), 1_760_000_000, 1_760_000_000)
  const restored = putBack(place, join(place.dataDir, again), { acceptRevoked: true })
  t.match(
    await restored,
    /as of 2025-10-09/,
    'a restored store isn’t of its backup’s time for ever',
  )
})

t.test('the store itself is refused by any name, and a key stays for what it signed', async (t) => {
  const place = await buildHeadless(t)
  const first = await place.start()
  const file = await makeBackup(t, place)
  const { kid } = await first.services.keys.current()
  await connectMany(first, 1)
  await first.stop()
  const link = join(temporaryFolder(t), 'link')
  symlinkSync(join(place.dataDir, 'broker.db'), link)
  await t.rejects(putBack(place, link), { code: 'restore.itself' })
  await putBack(place, file)
  const keys = await (await place.start()).services.keys.list()
  t.ok(
    keys.find((key) => key.kid === kid)?.tokensUntil,
    'as long as tokens live that it signed since',
  )
})

t.test('a database that is gone from under a running broker is not made anew', async (t) => {
  const place = await buildHeadless(t)
  await (await place.start()).stop()
  const path = join(place.dataDir, 'broker.db')
  const told = { pid: 77, command: 'serve', startedAt: runtime.clock.now(), keyIds: [] }
  const other = registerProcess(place.dataDir, undefined, told)
  renameSync(path, `${path}.moved`)
  await t.rejects(place.start(), /is gone from there, and these processes still work on it: 77/)
  t.notOk(readdirSync(place.dataDir).includes('broker.db'))
  other.unregister()
  renameSync(`${path}.moved`, path)
  writeFileSync(join(place.dataDir, 'broker.db.restoring'), 'tokens')
  await (await place.start()).stop()
  t.strictSame(left(place.dataDir), [], 'a start removes what a restore left that was cut off')
})
