import t from 'tap'
import { createNames, toPostgres } from '../../../db/postgres/statement.ts'

const text = (sqlite: string, ...args: unknown[]) => toPostgres(sqlite, args).text

t.test('parameters have positions, types and values', (t) => {
  const bytes = Buffer.from('x')
  t.match(toPostgres('select ?, ?, ?, ?, ?', [1, 'a', null, bytes, true]), {
    text: 'select $1::bigint, $2::text, $3, $4::bytea, $5::bigint',
    values: [1, 'a', null, bytes, 1],
  })
  t.match(toPostgres('select @b, @a, @b', [{ a: 7n, b: null }]), {
    text: 'select $1::text, $2::bigint, $1::text',
    values: [null, 7n],
  })
  t.strictSame(toPostgres('select ?', [undefined]).values, [null])
  t.strictSame(toPostgres('select ?', ['a\0b']).values, ['a\u{fffd}b'], 'no text has a NUL')
  t.equal(text("select '?', 'it''s @x', ?", 1), "select '?', 'it''s @x', $1::bigint")
  t.end()
})

t.test('what differs between the engines', (t) => {
  const texts = {
    'from apps indexed by apps_x where id = 1': 'from apps  where id = 1',
    'from a cross join b on a.n = b.n': 'from a join b on a.n = b.n',
    'select app_id as appId, n as number': 'select app_id as "appId", n as number',
    "coalesce(jkt, '')": "coalesce(jkt::text, '')",
    'on conflict ("usage"."app_id", "usage"."hour") do update':
      'on conflict ("app_id", "hour") do update',
    'values (null, 1)': 'values (default, 1)',
  }
  for (const [sqlite, postgres] of Object.entries(texts)) t.equal(text(sqlite), postgres)
  t.end()
})

t.test('a text that is used again is prepared, and only so many are', (t) => {
  const name = createNames(300)
  const names = ['select 1', 'select 1', 'select 1', 'select 1'].map(name)
  t.strictSame(names.slice(0, 2), ['', ''])
  t.match(names[2], /^[\w-]{24}$/)
  t.equal(names[3], names[2])
  const all = Array.from({ length: 1000 }, (_, n) => `select 1 as n${n}`)
  for (let use = 0; use < 2; use++) for (const sqlite of all) name(sqlite)
  t.equal(new Set(all.map(name).filter(Boolean)).size, 299)
  t.equal(name('select 1'), names[2], 'it keeps its name')
  t.end()
})
