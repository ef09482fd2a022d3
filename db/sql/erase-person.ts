import { fold } from '../fold.ts'
import type { ConnectionFilter, Millis } from '../store.ts'
import type { SqlClient } from './engine.ts'

/** Stands in bulk revocations for a search that found an erased person. */
export const ERASED_SEARCH = '(erased)'

/**
 * Removes what identifies the people of connections, within the current transaction: account, name, errors and
 * device names, links, address and details of all events of the connections and their grants, and searches that find
 * the people. What admins did, and from which address, stays.
 */
export function erasePeople(client: SqlClient, connectionIds: string[], now: Millis): void {
  const ids = JSON.stringify(connectionIds)
  eraseSearches(client, ids, now)
  for (const statement of STATEMENTS) client.prepare<[object]>(statement).run({ ids })
}

const IDS = 'select value from json_each(@ids)'

const STATEMENTS = [
  `delete from links where grant_id in (select id from grants where connection_id in (${IDS}))`,
  `update grants set device = '', browser_hash = null, external_id = null where connection_id in (${IDS})`,
  // Events without a connection may belong to a grant.
  `update events set address = null, details = null
    where actor not like 'admin:%' and (connection_id in (${IDS}) or (connection_id is null
      and grant_id in (select id from grants where connection_id in (${IDS}))))`,
  `update connections set account_id = null, username = '', name_key = '', last_error = null
    where id in (${IDS})`,
]

/** A search that is still collecting is cancelled: without its text it would find everybody. */
function eraseSearches(client: SqlClient, ids: string, now: Millis): void {
  const names = client
    .prepare<[object], string | null>(
      `select username from connections where id in (${IDS})
      union select account_id from connections where id in (${IDS})
      union select external_id from grants where connection_id in (${IDS})`,
    )
    .pluck()
    .all({ ids })
    .map((name) => fold(name ?? ''))
    .filter((name) => name !== '')
  const bulks = client
    .prepare<[], { id: number; filter: string }>(
      `select id, filter from bulks where filter like '%"search":"%'`,
    )
    .all()
  const replace = client.prepare<[object]>('update bulks set filter = @filter where id = @id')
  const cancel = client.prepare<[object]>(
    `update bulks set status = 'cancelled', ended_at = @now, lease_owner = null, lease_until = null
    where id = @id and status = 'collecting'`,
  )
  for (const { id, filter } of bulks) {
    const parsed = JSON.parse(filter) as ConnectionFilter
    const text = fold(parsed.search ?? '')
    if (!names.some((name) => name.includes(text) || text.includes(name))) continue
    replace.run({ id, filter: JSON.stringify({ ...parsed, search: ERASED_SEARCH }) })
    cancel.run({ id, now })
  }
}
