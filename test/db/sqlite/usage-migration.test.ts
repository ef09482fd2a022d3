import t from 'tap'
import { openDatabase } from '../../../db/data-directory/open.ts'
import { migrations, openAt } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'

t.test('counts of before there were kinds are kept as swaps', async (t) => {
  const directory = temporaryFolder(t)
  const first = migrations.slice(0, 1)
  const client = await openDatabase({ directory, migrations: first, nativeBinding: undefined })
  const rows = "('a', 5, 'ok', 2), ('b', 5, 'ok', 3), ('', 5, 'invalid_token', 4)"
  client.exec(`insert into usage (app_id, hour, outcome, count) values ${rows}`)
  client.close()
  const store = await openAt(directory)
  t.teardown(() => store.close())
  const sums = async (appId: string | null) =>
    (await store.sumUsage({ appId, since: 0, stretchMs: 1 })).map(
      ({ start, kind, outcome, count }) => `${start} ${kind} ${outcome} ${count}`,
    )
  t.strictSame(await sums('b'), ['5 swap ok 3'])
  t.strictSame(await sums(null), ['5 swap invalid_token 4', '5 swap ok 5'])
})
