import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import t from 'tap'
import type { ConnectionQuery } from '../../db/store.ts'
import { createPasswords } from '../../server/admin/password.ts'
import { Secret } from '../../server/secret.ts'
import { runtime } from '../../server/runtime.ts'
import {
  EMAIL,
  KNOWN,
  PASSWORD,
  accessTokenOf,
  refreshTokenOf,
  startThen,
} from './stored/setting.ts'
import type { Known } from './stored/setting.ts'
import { migrations, openAt } from './temporary.ts'
import { temporaryFolder } from '../temporary.ts'

const folder = join(import.meta.dirname, 'stored')
const stored = readdirSync(folder).filter((name) => name.endsWith('.db.gz'))

/** Tables, indices and triggers, however they are laid out. */
function schemaOf(directory: string): string[] {
  const client = new Database(join(directory, 'broker.db'), { readonly: true })
  const rows = client.prepare('select type, name, tbl_name, sql from sqlite_schema').all()
  const facts = client.pragma('foreign_key_check') as unknown[]
  const integrity = client.pragma('integrity_check', { simple: true })
  client.close()
  if (facts.length > 0 || integrity !== 'ok') throw new Error(JSON.stringify({ facts, integrity }))
  return rows
    .map((row) => JSON.stringify(row).replaceAll(/\\[nt]|["`\\ ]/g, ''))
    .sort((one, other) => one.localeCompare(other))
}

t.test('there is a stored database for every schema', async (t) => {
  t.equal(stored.length, migrations.length, 'make the missing one: test/db/stored/make.ts')
})

for (const file of stored) {
  t.test(`a store of ${file} moves up, and everyone in it is still served`, async (t) => {
    const directory = temporaryFolder(t)
    writeFileSync(join(directory, 'broker.db'), gunzipSync(readFileSync(join(folder, file))))
    const services = await startThen(directory)
    t.teardown(() => services.stop().catch(() => undefined))
    const { store, vault, swap, apps, admins, connections } = services
    const copies = readdirSync(directory).filter((name) => name.includes('before-upgrade'))
    t.equal(copies.length, file === stored.at(-1) ? 0 : 1, 'a copy is kept of what is altered')

    const meta = await store.getMeta()
    const { appId, confidential, tokens } = JSON.parse(meta[KNOWN] ?? '') as Known
    const swapped = async (username: string) => {
      const brokerToken = tokens[username] ?? ''
      const asked = { brokerToken, client: null, proof: null }
      return swap.swap(asked).then(
        ({ accessToken }) => accessToken.value.reveal(),
        ({ code }: { code: string }) => code,
      )
    }
    t.equal(await swapped('amelie'), accessTokenOf('amelie'))
    t.equal(await swapped('Çelik'), accessTokenOf('Çelik'))
    t.equal(
      await swapped('bo'),
      accessTokenOf('bo'),
      'rejected: its access token is served while it lives',
    )
    t.equal(await swapped('dora'), 'connection_revoked')
    const row = await store.getConnection('con_0')
    const sealed = row?.refreshToken ?? Buffer.alloc(0)
    const opened = vault.open('connections/con_0/refresh_token', sealed)
    t.equal(opened.reveal(), refreshTokenOf('amelie'))

    const { clientId, clientSecret } = confidential
    const secret = new Secret(clientSecret)
    t.match(await apps.authenticate({ clientId, clientSecret: secret }), { name: 'Report' })
    const [admin] = await admins.list()
    t.equal(admin?.email, EMAIL)
    const verified = createPasswords(runtime).admit('known', (verify) =>
      verify(new Secret(PASSWORD), admin?.passwordHash ?? ''),
    )
    t.ok(await verified)
    const find: Pick<ConnectionQuery, 'statuses' | 'appId'> = {
      statuses: ['active', 'needs_reconnect', 'revoked'],
      appId: null,
    }
    const names = async (search: string | null) => {
      const order = { sort: 'user', descending: false, limit: 9, cursor: null } as const
      const page = await store.browseConnections({ ...find, ...order, search })
      return page.rows.map(({ username }) => username)
    }
    t.strictSame(await names(null), ['amelie', 'bo', 'Çelik', 'dora'])
    t.strictSame(await names('celi'), ['Çelik'])
    t.strictSame(await store.sumUsage({ appId, since: 0, stretchMs: 1e15 }), [
      { appId, start: 0, kind: 'swap', outcome: 'ok', count: 42 },
    ])
    await connections.revoke('con_0', 'test')
    t.equal(await swapped('amelie'), 'connection_revoked')
    await services.stop()

    const fresh = join(directory, 'fresh')
    await (await openAt(fresh)).close()
    t.strictSame(schemaOf(directory), schemaOf(fresh), 'what it has become is what a new one is')
  })
}
