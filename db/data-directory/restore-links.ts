import type Database from 'better-sqlite3'

/**
 * Links as they were in the replaced store (`old`): those revoked since the backup stay revoked, those added
 * since stay if the backup has their grant.
 */
export function carryLinks(client: Database.Database): void {
  // A store of an older version has no links.
  if (!client.prepare("select 1 from old.sqlite_schema where name = 'links'").get()) return
  const columns = `id, secret_hash, grant_id, path, is_prefix, label, created_at, expires_at, last_used_at, uses`
  client.exec(`
    delete from main.links;
    insert into main.links (${columns})
    select ${columns} from old.links where grant_id in (select id from main.grants)`)
}
