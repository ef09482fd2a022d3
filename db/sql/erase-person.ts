import { fold } from '../fold.ts'
import type { ConnectionFilter } from '../store.ts'
import type { SqlClient } from './engine.ts'

/** Stands in bulk revocations for a search that found an erased person. */
export const ERASED_SEARCH = '(erased)'

/**
 * Removes what identifies the people of connections, within the current transaction: account, name, errors and
 * device names, links, address and details of all events of the connections and their grants, and searches that find
 * the people. What admins did, and from which address, stays.
 */
export function erasePeople(client: SqlClient, connectionIds: string[]): void {
  const ids = JSON.stringify(connectionIds)
  eraseSearches(client, ids)
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
function eraseSearches(client: SqlClient, ids: string): void {
  const people = client
    .prepare<[object], { username: string; accountId: string | null }>(
      `select username, account_id as accountId from connections where id in (${IDS})`,
    )
    .all({ ids })
  const names = people
    .flatMap(({ username, accountId }) => [username, accountId ?? ''])
    .map(fold)
    .filter((name) => name !== '')
  const bulks = client
    .prepare<[], { id: number; filter: string }>(
      `select id, filter from bulks where filter like '%"search":"%'`,
    )
    .all()
  const replace = client.prepare<[object]>(
    `update bulks set filter = @filter, 
      lease_owner = case status when 'collecting' then null else lease_owner end,
      status = case status when 'collecting' then 'cancelled' else status end where id = @id`,
  )
  for (const { id, filter } of bulks) {
    const parsed = JSON.parse(filter) as ConnectionFilter
    const text = fold(parsed.search ?? '')
    if (!names.some((name) => name.includes(text) || text.includes(name))) continue
    replace.run({ id, filter: JSON.stringify({ ...parsed, search: ERASED_SEARCH }) })
  }
}
