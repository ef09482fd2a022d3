import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { inspectDatabase } from '../../db/data-directory/copy.ts'
import { KeptCopyError } from '../../db/errors.ts'
import { openStore } from '../../db/data-directory/open.ts'
import { migrations, openAt } from './temporary.ts'
import { temporaryFolder } from '../temporary.ts'

const last = Math.max(...migrations.map(({ folderMillis }) => folderMillis))
const further = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    sql: [`create table later_${index} (id integer)`],
    bps: true,
    folderMillis: last + 1 + index,
    hash: `later ${index}`,
  }))

const copiesIn = (directory: string) =>
  readdirSync(directory).filter((name) => name.includes('before-upgrade'))

const openWith = async (directory: string, count: number): Promise<void> => {
  const all = [...migrations, ...further(count)]
  await (await openStore({ directory, migrations: all, nativeBinding: undefined })).close()
}

t.test('before a migration a copy is kept, and the last two copies stay', async (t) => {
  const directory = temporaryFolder(t)
  const store = await openAt(directory)
  await store.setMeta({ a: '1' })
  await store.close()
  t.strictSame(copiesIn(directory), [], 'a new store has nothing to keep')
  await openWith(directory, 1)
  const [copy = ''] = copiesIn(directory)
  const found = inspectDatabase(join(directory, copy), undefined)
  t.match(found, { problems: [], meta: { a: '1', backup_at: /^20/ } })
  t.equal(found.migrations.length, migrations.length, 'as it was before')
  await openWith(directory, 1)
  t.equal(copiesIn(directory).length, 1, 'nothing changes')
  writeFileSync(join(directory, 'broker.db.before-upgrade-x.part'), 'left over')
  await openWith(directory, 2)
  await openWith(directory, 3)
  t.equal(copiesIn(directory).length, 2)
  t.notOk(copiesIn(directory).includes(copy))
})

t.test('without space for the copy nothing changes', async (t) => {
  const directory = join(temporaryFolder(t), 'data')
  mkdirSync(directory)
  await (await openAt(directory)).close()
  // A copy can't be made where its source isn't a whole database.
  const { default: Database } = await import('better-sqlite3')
  const client = new Database(join(directory, 'broker.db'))
  client.exec('drop table meta')
  client.close()
  await t.rejects(openWith(directory, 1), KeptCopyError)
  t.strictSame(copiesIn(directory), [])
  const found = inspectDatabase(join(directory, 'broker.db'), undefined)
  t.same(found.migrations, [], 'without that table it is none of ours')
  chmodSync(directory, 0o700)
})
