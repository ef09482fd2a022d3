import type Database from 'better-sqlite3'
import { erasePeople } from '../sql/erase-person.ts'
import { carryAdmins, listLostFactors } from './restore-admins.ts'
import type { KeyOf, RestoredFactors } from './restore-admins.ts'
import { copyColumns, erase } from './restore-columns.ts'
import { carryLinks } from './restore-links.ts'
import { carryPasskeys } from './restore-passkeys.ts'

/** How much of the restored store was ended or removed, because it was in the replaced store. */
export interface CarriedOver {
  connections: number
  grants: number
  apps: number
  admins: number
  keys: number
  factors: RestoredFactors
}

/**
 * Turns the database of a backup into a restored store, in one transaction: what was ended in the replaced store
 * (`old`) is ended in it too.
 * @param options.descends `old` developed from the backup: what is missing there has ended
 * @param options.from when the backup was made, milliseconds; all its tokens are marked with it
 * @param options.keyOf tells which second factors of `old` can be opened here
 */
export function carryOverChanges(
  client: Database.Database,
  options: { old: string | null; descends: boolean; now: number; from: number; keyOf: KeyOf },
): CarriedOver {
  const { old, descends, now, from } = options
  const factors = { kept: 0, lost: [] }
  const nothing = { connections: 0, grants: 0, apps: 0, admins: 0, keys: 0, factors }
  if (old !== null) client.prepare('attach ? as old').run(old)
  try {
    return client.transaction(() => {
      const carried = old === null ? nothing : endWhatEnded(client, options)
      endTransientState(client, now, from)
      const details = `from a backup of ${new Date(from).toISOString()}${descends ? '' : UNCOMPARED}`
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

/** What a restore without a comparison weakens, for the audit log. */
const UNCOMPARED =
  '; revocations, and changes of admins’ passwords, roles and second factors since then are not known'

/** Did the store in `old` develop from the one on `client`? Then what is missing from `old` has ended. */
export function descendsFrom(client: Database.Database, old: string): boolean {
  client.prepare('attach ? as old').run(old)
  try {
    return attachedDescends(client)
  } finally {
    client.exec('detach old')
  }
}

/** `false` also if `old` can't be read as a store. */
function attachedDescends(client: Database.Database): boolean {
  try {
    const [integrity] = client.prepare('pragma old.quick_check(1)').pluck().all()
    return integrity === 'ok' && client.prepare(DESCENDS_QUERY).pluck().get() === 1
  } catch {
    return false
  }
}

/** The same store id, and the newest event of the backup is in `old`. */
const DESCENDS_QUERY = `
  select (select value from main.meta where key = 'store_id')
       = (select value from old.meta where key = 'store_id')
    and not exists (
      select 1 from (select id, at, actor, action from main.events order by id desc limit 1) b
      where not exists (
        select 1 from old.events e
        where e.id = b.id and e.at = b.at and e.actor = b.actor and e.action = b.action))`

/** Columns of a grant that say which broker token is current: a superseded token stays superseded. */
const TOKEN_COLUMNS =
  'jti previous_jti jti_used_at successors_since_seconds issued_at_seconds expires_at_seconds jkt device last_used_at'

/** Ends what was ended in `old`; if `descends`, also what is missing there. */
function endWhatEnded(
  client: Database.Database,
  { descends, now, keyOf }: { descends: boolean; now: number; keyOf: KeyOf },
): CarriedOver {
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
    copyColumns(client, 'apps')
    copyColumns(client, 'grants', (name) => TOKEN_COLUMNS.split(' ').includes(name))
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
    select id from old.connections where status = 'revoked' ${PENDING_IN_BULKS})`
  erase(client, 'connections', revoked)
  run(
    `update grants set revoked_at = ? where revoked_at is null
       and connection_id in (select id from connections where ${revoked})`,
    now,
  )
  const revokedConnections = run(
    `update connections set status = 'revoked', revoked_at = ?,
       (import_state, replaced_by) =
         (select o.import_state, o.replaced_by from old.connections o where o.id = connections.id),
       generation = generation + 1, refresh_token = null, previous_refresh_token = null,
       access_token = null, access_token_expires_at = null, access_token_fetched_at = null
       where ${revoked}`,
    now,
  )
  erasePersons(client)
  carryProofs(client)
  carryTokenEnds(client)

  const { removed: admins, factors } = descends
    ? carryAdmins(client, gone('admins'), { keyOf, now })
    : { removed: 0, factors: listLostFactors(client, now) }
  if (descends) {
    carryPasskeys(client)
    carryLinks(client)
  }
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
    factors,
  }
}

/** Connections that a confirmed bulk revocation had not revoked yet. */
const PENDING_IN_BULKS = `union select connection_id from old.bulk_items join old.bulks on bulks.id = bulk_id
    where bulks.status = 'running' and error is null`

/** Keeps a signing key until the tokens that it signed after the backup have expired. */
function carryTokenEnds(client: Database.Database): void {
  client.exec(`update signing_keys set tokens_until = max(coalesce(tokens_until, 0), (
      select o.tokens_until from old.signing_keys o where o.kid = signing_keys.kid))
    where kid in (select kid from old.signing_keys where tokens_until is not null)`)
}

/** Erases again who was erased after the backup. */
function erasePersons(client: Database.Database): void {
  const erased = `select id from old.connections where person_erased_at is not null`
  erasePeople(client, client.prepare<[], string>(erased).pluck().all())
  client.exec(`update connections set person_erased_at =
      (select o.person_erased_at from old.connections o where o.id = connections.id)
    where id in (${erased})`)
}

/** DPoP proofs that were used after the backup cannot be used again. */
function carryProofs(client: Database.Database): void {
  client.exec(`insert or ignore into dpop_proofs (proof_hash, expires_at)
    select proof_hash, expires_at from old.dpop_proofs`)
}

/** Ends authorizations in progress, sessions and bulk revocations, and marks tokens as restored. */
function endTransientState(client: Database.Database, now: number, from: number): void {
  client.exec(`
    delete from used_states;
    delete from codes where used_at is null;
    delete from device_codes where used_at is null;
    delete from sessions;
    delete from devices;
    delete from setup_links;
    update connections set lease_owner = null, lease_until = null, retry_at = null;
    -- They describe the backup, not the restored store.
    delete from meta where key in ('secret_rotation', 'backup_at');`)
  // They may have been cancelled since, or done.
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
