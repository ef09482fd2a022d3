import type Database from 'better-sqlite3'

/**
 * Passkeys as they were in the replaced store (`old`): those removed since the backup stay removed, those added
 * since stay, and the counters are the newer ones.
 */
export function carryPasskeys(client: Database.Database): void {
  // A store of an older version has no passkeys.
  if (!client.prepare("select 1 from old.sqlite_schema where name = 'passkeys'").get()) return
  client.exec(`
    delete from main.passkeys;
    insert into main.passkeys
      (id, admin_id, public_key, counter, transports, name, created_at, last_used_at)
    select id, admin_id, public_key, counter, transports, name, created_at, last_used_at
      from old.passkeys where admin_id in (select id from main.admins)`)
}
