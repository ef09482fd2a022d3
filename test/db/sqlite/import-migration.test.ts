import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import t from 'tap'
import { openAt } from '../temporary.ts'
import { temporaryFolder } from '../../temporary.ts'

t.test('a migrated store lists no connection that an import had ended', async (t) => {
  const directory = temporaryFolder(t)
  const initial = readFileSync(join(import.meta.dirname, '../stored/0000.db.gz'))
  writeFileSync(join(directory, 'broker.db'), gunzipSync(initial))
  const client = new Database(join(directory, 'broker.db'))
  const unrevoked = "select id from connections where status <> 'revoked'"
  const [refused, duplicate, ...others] = client.prepare<[], string>(unrevoked).pluck().all()
  const before = client.prepare("select count(*) from connections where status = 'revoked'").pluck()
  const revoked = before.get()
  client.exec(`
    update connections set status = 'revoked', import_state = 'rejected' where id = '${refused}';
    update connections set status = 'revoked', replaced_by = 'x' where id = '${duplicate}';`)
  client.close()
  const store = await openAt(directory)
  t.teardown(() => store.close())
  const counts = await store.countConnections()
  t.equal(counts.revoked, revoked)
  t.equal(counts.active + counts.needs_reconnect, others.length)
})
