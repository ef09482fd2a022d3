import t from 'tap'
import { openDatabase } from '../../../db/data-directory/open.ts'
import { sealedColumns } from '../../../db/sql/reseal.ts'
import { migrations } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'

t.test('every column that refers to a sealed value is known, with its table’s key', async (t) => {
  const client = await openDatabase({
    directory: temporaryFolder(t),
    migrations,
    nativeBinding: undefined,
  })
  t.teardown(() => client.close())
  const found = client
    .prepare(
      `select f."table" as target, s.name as "table", f."from" as column, (
         select name from pragma_table_info(s.name) where pk = 1) as key
       from sqlite_schema s, pragma_foreign_key_list(s.name) f where s.type = 'table'`,
    )
    .all() as { target: string; table: string; column: string; key: string }[]
  const expected = found
    .filter(({ target }) => target === 'sealed')
    .map(({ table, key, column }) => `${table}/${key}/${column}`)
  t.strictSame(
    sealedColumns.map(({ table, key, column }) => `${table}/${key}/${column}`),
    expected.sort(),
  )
  t.ok(expected.includes('connections/id/refresh_token'))
})
