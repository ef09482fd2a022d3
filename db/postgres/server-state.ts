import type pg from 'pg'

/** What a server of PostgreSQL tells about itself and this user. */
export interface ServerState {
  /** As `server_version_num`: 150004 is 15.4. */
  version: number
  versionText: string
  isInRecovery: boolean
  synchronousCommit: string
  fsync: boolean
  /** `synchronous_standby_names`; empty: a commit waits for no other server. */
  standbyNames: string
  /** Is this connection encrypted? */
  isEncrypted: boolean
  databaseBytes: number
  /** Milliseconds since the epoch, by the server's clock. */
  now: number
  user: string
  /** Where tables are created; `null`: the search path names no schema that exists. */
  schema: string | null
  /** May this user create tables and, if it is missing, the extension pg_trgm? */
  canCreate: boolean
  /** Has the broker created its tables? */
  hasTables: boolean
  /** Of these tables, those that are missing, or that this user may not read and write. */
  unusableTables: string[]
  /** The process of another program answers: of a pooler. */
  isPooled: boolean
}

const STATE = `select current_setting('server_version_num')::int as version,
    current_setting('server_version') as "versionText", pg_is_in_recovery() as "isInRecovery",
    current_setting('synchronous_commit') as "synchronousCommit", current_setting('fsync') = 'on' as fsync,
    current_setting('synchronous_standby_names') as "standbyNames",
    coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as "isEncrypted",
    pg_database_size(current_database())::float8 as "databaseBytes",
    (extract(epoch from clock_timestamp()) * 1000)::float8 as now,
    current_user::text as "user", current_schema()::text as schema,
    coalesce(has_schema_privilege(current_schema(), 'create'), false) and (
      has_database_privilege(current_database(), 'create')
      or exists (select from pg_extension where extname = 'pg_trgm')) as "canCreate",
    to_regclass('meta') is not null as "hasTables",
    array(select name from unnest($1::text[]) as name
      where not coalesce(has_table_privilege(to_regclass(name), 'select')
        and has_table_privilege(to_regclass(name), 'insert')
        and has_table_privilege(to_regclass(name), 'update')
        and has_table_privilege(to_regclass(name), 'delete'), false)) as "unusableTables",
    pg_backend_pid() as "backendPid"`

/**
 * Reads the state of the server that a connection is to.
 * @param tables names of the broker's tables
 * @throws errors of pg
 */
export async function readServerState(client: pg.Client, tables: string[]): Promise<ServerState> {
  const { rows } = await client.query<ServerState & { backendPid: number }>(STATE, [tables])
  const [row] = rows
  if (!row) throw new Error('the server answered nothing')
  const { backendPid, ...state } = row
  // A pooler invents the number with which a query is cancelled.
  const { processID } = client as unknown as { processID: number | null }
  return { ...state, isPooled: processID !== null && processID !== backendPid }
}

/** The entries of the broker's table `meta`. @throws errors of pg */
export async function readServerMeta(client: pg.Client): Promise<Record<string, string>> {
  const { rows } = await client.query<{ key: string; value: string }>('select key, value from meta')
  return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
}
