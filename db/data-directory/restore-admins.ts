import type Database from 'better-sqlite3'
import { copyColumns, erase } from './restore-columns.ts'

/** What a restore did to the second factors of admins. */
export interface RestoredFactors {
  /** Number of second factors that were added or changed since the backup, and taken from the replaced store. */
  kept: number
  /** E-mail addresses of admins who had a second factor in the replaced store and now have none. */
  lost: string[]
}

/** The id of the key that a value is sealed with; `null`: that key is not here, so nobody could open the value. */
export type KeyOf = (sealed: Uint8Array) => string | null

/** A second factor that differs between the stores; `bytes`: sealed, in the replaced one. */
interface ChangedFactor {
  id: string
  email: string
  restored: number | null
  bytes: Uint8Array | null
  since: number | null
  /** Is it the same one in the backup, sealed anew? */
  isSame: 0 | 1
}

/** Removed admins stay removed; passwords, roles and second factors are the newer ones. */
export function carryAdmins(
  client: Database.Database,
  gone: string,
  { keyOf, now }: { keyOf: KeyOf; now: number },
): { removed: number; factors: RestoredFactors } {
  erase(client, 'admins', gone)
  const removed = client.prepare(`delete from admins where ${gone}`).run().changes
  const changed = client.prepare<[], ChangedFactor>(CHANGED_FACTORS_QUERY).all()
  // An account at the identity provider may have moved from one admin to another, and is unique.
  client.exec('update admins set oidc_issuer = null, oidc_subject = null')
  copyColumns(client, 'admins', (name) => !['id', 'email', 'second_factor'].includes(name))
  const factors: RestoredFactors = { kept: 0, lost: [] }
  for (const factor of changed) {
    const key = factor.bytes && keyOf(factor.bytes)
    if (factor.bytes && key !== null) {
      setFactor(client, factor, factor.bytes)
      requireKey(client, key)
      if (factor.isSame === 0 && factor.since !== null) factors.kept++
    } else if (factor.isSame === 0) {
      setFactor(client, factor, null)
      if (factor.since !== null) factors.lost.push(factor.email)
    }
  }
  for (const email of factors.lost) addLostEvent(client, email, now)
  return { removed, factors }
}

/** Without a comparison: admins whose second factor in `old` is not in the backup, which is all that is known. */
export function listLostFactors(client: Database.Database, now: number): RestoredFactors {
  const lost = client
    .prepare<[], string>(
      `select a.email from admins a join old.admins o on o.id = a.id
       where o.second_factor_since is not null and a.second_factor_since is null order by a.email`,
    )
    .pluck()
    .all()
  for (const email of lost) addLostEvent(client, email, now)
  return { kept: 0, lost }
}

const CHANGED_FACTORS_QUERY = `
  select a.id, a.email, a.second_factor as restored, os.bytes, o.second_factor_since as since,
    a.second_factor_since is not null and a.second_factor_since is o.second_factor_since as isSame
  from admins a join old.admins o on o.id = a.id
    left join sealed s on s.id = a.second_factor left join old.sealed os on os.id = o.second_factor
  where s.bytes is not os.bytes or a.second_factor_since is not o.second_factor_since
  order by a.email`

/** Overwrites the second factor of the backup, and puts another one, or none, in its place. */
function setFactor(
  client: Database.Database,
  { id }: ChangedFactor,
  bytes: Uint8Array | null,
): void {
  const run = (sql: string, ...values: unknown[]) => client.prepare(sql).run(...values)
  erase(client, 'admins', `id = '${id.replaceAll("'", "''")}'`)
  if (bytes) {
    const add = 'insert into sealed (size, free, bytes) values (?, 0, ?)'
    const { lastInsertRowid } = run(add, bytes.length, bytes)
    run('update admins set second_factor = ? where id = ?', lastInsertRowid, id)
  } else {
    run(
      `update admins set second_factor = null, second_factor_since = null, second_factor_step = null,
         recovery_codes = '[]' where id = ?`,
      id,
    )
  }
}

/** Adds a key to those that the store can't do without. */
function requireKey(client: Database.Database, key: string): void {
  client
    .prepare(
      `update meta set value = value || ',' || @key
       where key = 'secret_fingerprints' and instr(value, @key) = 0`,
    )
    .run({ key })
}

function addLostEvent(client: Database.Database, email: string, now: number): void {
  client
    .prepare(
      `insert into events (at, actor, action, details)
       values (?, 'cli', 'admin.second_factor_removed', ?)`,
    )
    .run(now, `${email}: not in the restored backup`)
}
