import type Database from 'better-sqlite3'
import { sealedColumns } from '../sqlite/reseal.ts'
import { columnsOf, takeOver } from './restore-columns.ts'

/** What of the replaced store holds on in the one that takes its place. */
export interface CarriedOver {
  connections: number
  grants: number
  apps: number
  admins: number
  keys: number
}

/**
 * Makes the database on `client` what a restored store is to be, in one transaction.
 * @param from when its backup was made, milliseconds; every token in it is marked with it
 */
export function settle(
  client: Database.Database,
  options: { old: string | null; descends: boolean; now: number; from: number },
): CarriedOver {
  const { old, descends, now, from } = options
  const nothing = { connections: 0, grants: 0, apps: 0, admins: 0, keys: 0 }
  if (old !== null) client.prepare('attach ? as old').run(old)
  try {
    return client.transaction(() => {
      const carried = old === null ? nothing : carryOver(client, descends, now)
      endWhatWasUnderWay(client, now, from)
      const details = `from a backup of ${new Date(from).toISOString()}`
      client
        .prepare(
          "insert into events (at, actor, action, details) values (?, 'cli', 'store.restored', ?)",
        )
        .run(now, details)
      return carried
    })()
  } finally {
    if (old !== null) client.exec('detach old')
  }
}

/** Is the store in `old` what the one on `client` has become? Then what is missing from it has ended. */
export function descendsFrom(client: Database.Database, old: string): boolean {
  client.prepare('attach ? as old').run(old)
  try {
    return attachedDescends(client)
  } finally {
    client.exec('detach old')
  }
}

/** What can't be read as a store is not one. */
function attachedDescends(client: Database.Database): boolean {
  try {
    const [integrity] = client.prepare('pragma old.quick_check(1)').pluck().all()
    return integrity === 'ok' && client.prepare(DESCENDS).pluck().get() === 1
  } catch {
    return false
  }
}

/** The same store by its id, and it knows the newest event of the backup. */
const DESCENDS = `
  select (select value from main.meta where key = 'store_id')
       = (select value from old.meta where key = 'store_id')
    and not exists (
      select 1 from (select id, at, actor, action from main.events order by id desc limit 1) b
      where not exists (
        select 1 from old.events e
        where e.id = b.id and e.at = b.at and e.actor = b.actor and e.action = b.action))`

/** Of a grant, what says which broker token is its own: one that was superseded stays so. */
const TOKEN =
  'jti previous_jti jti_used_at issued_at_seconds expires_at_seconds jkt device last_used_at'

/** Ends here what was ended there; where `descends`, also what is not there any more. */
function carryOver(client: Database.Database, descends: boolean, now: number): CarriedOver {
  const run = (sql: string, ...values: unknown[]): number =>
    client.prepare(sql).run(...values).changes
  const gone = (table: string, key = 'id') =>
    descends ? `${key} not in (select ${key} from old.${table})` : 'false'

  const apps = `id in (select id from apps where ${gone('apps')})`
  run(
    `update grants set revoked_at = ? where revoked_at is null
       and app_id in (select id from apps where ${apps})`,
    now,
  )
  const removedApps = run(`delete from apps where ${apps}`)
  if (descends) {
    takeOver(client, 'apps', columnsOf(client, 'main', 'apps'))
    takeOver(client, 'grants', TOKEN.split(' '))
  }

  const grants = run(
    `update grants set revoked_at = ? where revoked_at is null and (${gone('grants')}
       or id in (select id from old.grants where revoked_at is not null))`,
    now,
  )

  const swept = `id in (select id from connections where ${gone('connections')})`
  erase(client, 'connections', swept)
  const sweptConnections = run(`delete from connections where ${swept}`)
  const revoked = `status <> 'revoked' and id in (
    select id from old.connections where status = 'revoked' ${meantByBulks(client)})`
  erase(client, 'connections', revoked)
  run(
    `update grants set revoked_at = ? where revoked_at is null
       and connection_id in (select id from connections where ${revoked})`,
    now,
  )
  const revokedConnections = run(
    `update connections set status = 'revoked', revoked_at = ?,
       generation = generation + 1, refresh_token = null, previous_refresh_token = null,
       access_token = null, access_token_expires_at = null, access_token_fetched_at = null
       where ${revoked}`,
    now,
  )
  forgetPersons(client)
  carryProofs(client)
  carryTokenEnds(client)

  const admins = carryAdmins(client, descends, gone('admins'))
  const ended = `status <> 'revoked' and (${gone('signing_keys', 'kid')}
       or kid in (select kid from old.signing_keys where status = 'revoked'))`
  const blank = `update sealed set bytes = zeroblob(size) where id in (
       select private_key from signing_keys where ${ended})`
  run(blank)
  const keys = run(
    `update signing_keys set status = 'revoked', ended_at = coalesce(ended_at, ?)
       where ${ended}`,
    now,
  )
  return {
    connections: sweptConnections + revokedConnections,
    grants,
    apps: removedApps,
    admins,
    keys,
  }
}

/** Whom a bulk revocation that was confirmed had still to revoke. Older stores know of none. */
function meantByBulks(client: Database.Database): string {
  if (columnsOf(client, 'old', 'bulk_items').length === 0) return ''
  return `union select connection_id from old.bulk_items join old.bulks on bulks.id = bulk_id
    where bulks.status = 'running' and error is null`
}

/** A signing key stays for as long as what it has signed since. Older stores don't know of it. */
function carryTokenEnds(client: Database.Database): void {
  if (!columnsOf(client, 'old', 'signing_keys').includes('tokens_until')) return
  client.exec(`update signing_keys set tokens_until = max(coalesce(tokens_until, 0), (
      select o.tokens_until from old.signing_keys o where o.kid = signing_keys.kid))
    where kid in (select kid from old.signing_keys where tokens_until is not null)`)
}

/** Erased people stay erased: as `eraseConnection` leaves them. Older stores don't know of it. */
function forgetPersons(client: Database.Database): void {
  if (!columnsOf(client, 'old', 'connections').includes('person_erased_at')) return
  const erased = `select id from old.connections where person_erased_at is not null`
  client.exec(`
    update connections set account_id = null, username = '', name_key = '', last_error = null,
      person_erased_at = (select o.person_erased_at from old.connections o where o.id = connections.id)
      where id in (${erased});
    update grants set device = '' where connection_id in (${erased});
    update events set address = null, details = null
      where actor in ('user', 'app') and connection_id in (${erased});`)
}

/** Admins who were removed stay so; who they are and what proves it is what it has become. */
function carryAdmins(client: Database.Database, descends: boolean, gone: string): number {
  if (!descends) return 0
  erase(client, 'admins', gone)
  const removed = client.prepare(`delete from admins where ${gone}`).run().changes
  takeOver(client, 'admins', ['password_hash', 'role'])
  // A second factor that has changed since is worth nothing: its owner sets it up anew.
  if (!columnsOf(client, 'old', 'admins').includes('second_factor')) return removed
  const changed = `exists (select 1 from old.admins o where o.id = admins.id
    and o.second_factor_since is not admins.second_factor_since)`
  erase(client, 'admins', changed)
  client.exec(`update admins set second_factor = null, second_factor_since = null,
    second_factor_step = null, recovery_codes = '[]' where ${changed}`)
  takeOver(client, 'admins', ['second_factor_step', 'recovery_codes'])
  return removed
}

/** Overwrites the sealed values of rows, and gives their room free; the columns still point there. */
function erase(client: Database.Database, table: string, where: string): void {
  for (const { column } of sealedColumns.filter((one) => one.table === table)) {
    client.exec(`update sealed set free = 1, bytes = zeroblob(size) where id in (
      select ${column} from ${table} where ${column} is not null and (${where}))`)
  }
}

/** A proof that was used since the backup can't be used again. Older stores know of none. */
function carryProofs(client: Database.Database): void {
  const tables = client.prepare("select name from old.sqlite_schema where type = 'table'").pluck()
  if (!tables.all().includes('dpop_proofs')) return
  client.exec(`insert or ignore into dpop_proofs (proof_hash, expires_at)
    select proof_hash, expires_at from old.dpop_proofs`)
}

/** What lived for minutes is over, everyone signs in anew, and tokens have to prove themselves. */
function endWhatWasUnderWay(client: Database.Database, now: number, from: number): void {
  erase(client, 'flows', 'true')
  client.exec(`
    delete from flows;
    delete from codes where used_at is null;
    delete from device_codes where used_at is null;
    delete from sessions;
    delete from devices;
    delete from setup_links;
    update connections set lease_owner = null, lease_until = null, retry_at = null;
    -- Of what it will be copied to next, nothing here says when.
    delete from meta where key in ('secret_rotation', 'backup_at');`)
  // It may have been cancelled since, or done.
  client
    .prepare(
      `update bulks set status = 'cancelled', ended_at = ?, lease_owner = null, lease_until = null
       where status in ('collecting', 'ready', 'running')`,
    )
    .run(now)
  client
    .prepare(
      `update connections set restored_from = coalesce(restored_from, ?) where status <> 'revoked'`,
    )
    .run(from)
}
