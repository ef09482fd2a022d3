import { is } from 'drizzle-orm'
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core'
import t from 'tap'
import { openDatabase } from '../../../db/data-directory/open.ts'
import * as schema from '../../../db/sql/schema.ts'
import { migrations } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

t.test('the migrations create the tables of the schema', async (t) => {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  t.teardown(() => client.close())
  const tables = Object.values(schema)
    .filter((table) => is(table, SQLiteTable))
    .map(getTableConfig)
  const list = (query: string, ...names: string[]) =>
    client
      .prepare(query)
      .pluck()
      .all(...names)

  // `listing…` is derived by triggers, and written by hand.
  const ours = `select name from sqlite_schema where type = 'table'
    and name not like '%\\_\\_%' escape '\\' and name not like 'listing%'`
  t.strictSame(
    list(`${ours} and name not like 'sqlite%' order by name`),
    tables.map(({ name }) => name).sort(),
  )
  for (const { name, columns, indexes, foreignKeys } of tables) {
    t.strictSame(
      list('select name from pragma_table_info(?)', name),
      columns.map((column) => snakeCase(column.name)),
      name,
    )
    const made = list("select name from pragma_index_list(?) where origin = 'c'", name)
    const named = indexes.map(({ config }) => config.name)
    const unique = columns.flatMap((column) => (column.isUnique ? [column.uniqueName] : []))
    t.strictSame(made.sort(), [...named, ...unique].sort(), `indexes of ${name}`)
    const parents = foreignKeys.map((key) => getTableConfig(key.reference().foreignTable).name)
    const referred = list('select "table" from pragma_foreign_key_list(?)', name)
    t.strictSame(referred.sort(), parents.sort(), `references of ${name}`)
  }
})

t.test('lists, the sweep and the reads of a swap use an index', async (t) => {
  const directory = temporaryFolder(t)
  const client = await openDatabase({ directory, migrations, nativeBinding: undefined })
  t.teardown(() => client.close())
  const conditions = {
    connections: [
      "account_id = 'a' and status <> 'revoked'",
      "status = 'active' and id > 'a'",
      'revoked_at < 5 and erased_at is not null',
      'revoked_at is not null and erased_at is null',
    ],
    grants: [
      "connection_id = 'a' and app_id = 'b'",
      "app_id = 'b' and id > 'a'",
      'expires_at_seconds < 5 or revoked_at < 5',
    ],
    used_states: ['expires_at <= 5', "state_hash in ('a', 'b')"],
    codes: ['(used_at is null and expires_at <= 5) or used_at <= 3', "connection_id = 'a'"],
    dpop_proofs: ['expires_at <= 5'],
    device_codes: [
      'expires_at <= 5',
      "user_code_hash = 'a' and status = 'pending' and expires_at > 5",
      "connection_id = 'a' and app_id = 'b' and used_at is null",
      "app_id = 'a' and network = 'b' and status <> 'approved' and expires_at > 5",
    ],
    sessions: ['expires_at <= 5', "admin_id = 'a'"],
    events: ["connection_id = 'a' and id < 9", "app_id = 'a' and id < 9", 'at < 5'],
    bulk_items: ['bulk_id = 1 and error is null'],
    usage: ['hour >= 5', "app_id = 'a' and hour >= 5"],
    sealed: ['size = 357 and free = 1'],
  }
  for (const [table, list] of Object.entries(conditions)) {
    for (const where of list) {
      const plan = client.prepare(`explain query plan select * from ${table} where ${where}`).all()
      const details = (plan as { detail: string }[]).map(({ detail }) => detail)
      t.notMatch(details.join('\n'), /SCAN/, `${table}: ${where}`)
    }
  }
})
