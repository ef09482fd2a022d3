import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Test } from 'tap'
import { registerProcess } from '../../db/data-directory/presence.ts'
import { readMigrations } from '../../server/assets.ts'
import { Secret } from '../../server/secret.ts'
import { keyIdOf } from '../../server/crypto/vault.ts'
import { command } from '../command.ts'
import { SECRET } from '../db/stored/setting.ts'
import { cli, serve } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

/** A data directory as the first version left it. */
function buildOld(t: Test) {
  const directory = temporaryFolder(t)
  const initial = readFileSync(join(import.meta.dirname, '../db/stored/0000.db.gz'))
  writeFileSync(join(directory, 'broker.db'), gunzipSync(initial))
  const client = new Database(join(directory, 'broker.db'), { readonly: true })
  const owner = client
    .prepare<[], [string, string]>(
      "select key, value from meta where key in ('client_id', 'api_url')",
    )
    .raw()
  const { client_id: id = '', api_url: api = '' } = Object.fromEntries(owner.all())
  client.close()
  const env = {
    BROKER_DATA_DIR: directory,
    BROKER_SECRETS: SECRET,
    ELLIPSIS_CLIENT_ID: id,
    ELLIPSIS_CLIENT_SECRET: 'secret',
    ELLIPSIS_API_URL: api,
  }
  const copies = () => readdirSync(directory).filter((name) => name.includes('before-upgrade'))
  return { directory, env, copies }
}

const names = readMigrations()
  .slice(1)
  .map(({ name }) => name)

t.test('a newer version does not migrate while an older one runs', async (t) => {
  const { directory, env, copies } = buildOld(t)
  const before = readFileSync(join(directory, 'broker.db'))
  const keyIds = [keyIdOf(new Secret(SECRET))]
  const older = registerProcess(directory, undefined, {
    ...{ pid: 77, command: 'serve', startedAt: 0, keyIds },
  })
  const settings = { ...env, BROKER_PUBLIC_URL: 'http://127.0.0.1:3000', BROKER_PORT: '0' }
  const refused = await cli(['serve'], settings)
  t.equal(refused.code, 2)
  t.match(
    refused.stderr,
    `(${names.join(', ')}), and these processes of an older version still use it: 77 (serve)`,
  )
  t.match(await command(['app', 'list'], env), { code: 2, stderr: /Nothing has changed/ })
  t.strictSame(readFileSync(join(directory, 'broker.db')), before)
  t.strictSame(copies(), [])

  older.unregister()
  const started = await serve(t, env)
  t.match(started.output(), /"migrations":\[".*upgraded the database/)
  for (const name of names) t.match(started.output(), `"${name}"`)
  t.equal(copies().length, 1)
  t.match(
    await command(['app', 'list'], env),
    { code: 0, stderr: /^Store: .*\n$/ },
    'the same version runs beside',
  )
})

t.test('a command says what it migrated, once', async (t) => {
  const { directory, env, copies } = buildOld(t)
  const first = await command(['app', 'list', '--json'], env)
  const [copy = ''] = copies()
  t.match(first.stderr, `Upgraded the database in ${directory} (${names.join(', ')})`)
  t.match(first.stderr, join(directory, copy))
  t.ok(JSON.parse(first.stdout), 'and not in its output')
  t.match((await command(['app', 'list'], env)).stderr, /^Store: .*\n$/)
})

t.test('an older version says that the database is newer', async (t) => {
  const { directory, env } = buildOld(t)
  await command(['app', 'list'], env)
  const client = new Database(join(directory, 'broker.db'))
  client.exec("insert into __drizzle_migrations (hash, created_at) values ('x', 9e15)")
  client.close()
  t.match(await command(['app', 'list'], env), {
    code: 2,
    stderr:
      /was written by a newer version of this program; this version cannot work on it\.\nUse the newer version/,
  })
})
