// What a broker asks again and again reads few rows, however many there are.
import pg from 'pg'
import t from 'tap'
import { createClientClass } from '../../../db/postgres/connection.ts'
import { createPool, type Pool } from '../../../db/postgres/pool.ts'
import type { PostgresStatement } from '../../../db/postgres/statement.ts'
import { createPostgresStore } from '../../../db/postgres/store.ts'
import type { Store } from '../../../db/store.ts'
import { createDatabase, noPostgres, query } from '../../postgres.ts'
import { connect, event, newApp, newGrant, NOW } from '../rows.ts'
import { openAt } from './temporary.ts'

const ROWS = 10_000
/** More than a poll needs, and far fewer than a table has. */
const FEW_ROWS = 50
const EXECUTIONS = 7

const lease = { owner: 'me', forMs: 60_000, now: NOW, maxPauseMs: 60_000, deadOwner: null }

/** What the loops of a broker do while there is nothing to do. */
const polls: Record<string, (store: Store) => Promise<unknown>> = {
  hasOutboxWork: (store) => store.hasOutboxWork(NOW),
  takeOutbox: (store) => store.takeOutbox(lease),
  listDueSinks: (store) => store.listDueSinks(NOW),
  listDueDeliveries: (store) => store.listDueDeliveries({ sinkId: 'hook', now: NOW, limit: 20 }),
  lastEventId: (store) => store.lastEventId(),
  takeBulk: (store) => store.takeBulk({ owner: 'me', forMs: 60_000 }),
  listLeases: (store) => store.listLeases(20),
  listFailed: (store) => store.listFailed({ retryBefore: NOW, limit: 20 }),
  isErasurePending: (store) => store.isErasurePending(),
  revokeGrantsOfRemovedApps: (store) => store.revokeGrantsOfRemovedApps({ now: NOW, limit: 20 }),
  getMeta: (store) => store.getMeta(),
  getUpstream: (store) => store.getUpstream(),
  listSigningKeys: (store) => store.listSigningKeys(),
  getCounters: (store) => store.getCounters(['one', 'two'], NOW),
  sweep: (store) =>
    store.sweep({
      now: NOW,
      endedBefore: NOW - 1,
      eventsBefore: NOW - 1,
      keepUsedMs: 1,
      limit: 20,
    }),
}

/** Copies the one row of a table; `columns`: those that differ, by the number `n`. */
const copies = (table: string, columns: string): string =>
  `insert into ${table} select (jsonb_populate_record(null::${table}, to_jsonb(r) || ${columns})).*
   from ${table} r, generate_series(1, ${ROWS}) n`

/** A database with many rows in each table that grows. */
async function fill(url: string): Promise<void> {
  const store = await openAt(url)
  await store.addApp(newApp('app'), [])
  await connect(store)
  await store.addGrant(newGrant('grant'), { source: null, now: NOW, events: event('begun') })
  await store.takeOutbox(lease)
  const delivery = { sinkId: 'hook', eventId: 1, connectionId: null, createdAt: NOW }
  await store.replayDeliveries([delivery], [])
  const [due] = await store.listDueDeliveries({ sinkId: 'hook', now: NOW, limit: 1 })
  const outcome = { status: 'delivered' as const, nextAt: null, answer: null, error: null }
  const attempt = { owner: 'me', expectedAttempts: 0, outcome: { ...outcome, attemptedAt: NOW } }
  await store.recordAttempt({ id: due?.id ?? 0, ...attempt })
  await store.close()
  await query(
    url,
    // Without triggers: lists are not read here.
    `set session_replication_role = replica;
     ${copies('connections', `jsonb_build_object('id', 'c' || n, 'account_id', 'a' || n, 'sequence', 10 + n)`)};
     ${copies('grants', `jsonb_build_object('id', 'g' || n, 'connection_id', 'c' || n)`)};
     ${copies('events', `jsonb_build_object('id', 10 + n)`)};
     ${copies('deliveries', `jsonb_build_object('id', 10 + n, 'event_id', 10 + n)`)};
     update outbox set last_event_id = (select max(id) from events), lease_owner = null;
     analyze`,
  )
}

interface Plan {
  'Relation Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

/** Rows that a plan reads from tables, with those that it drops. */
const rowsRead = (plan: Plan): number => {
  const own = plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)
  const below = (plan.Plans ?? []).reduce((sum, child) => sum + rowsRead(child), 0)
  return below + (plan['Relation Name'] === undefined ? 0 : own * plan['Actual Loops'])
}

t.test('polls read few rows', { skip: noPostgres }, async (t) => {
  const url = await createDatabase(t)
  await fill(url)
  const pool = createPool(createClientClass([url]))
  t.teardown(() => pool.close())
  let statements: PostgresStatement[] = []
  const noting =
    (run: Pool['read']): Pool['read'] =>
    (work) =>
      run((execute) =>
        work((statement) => {
          statements.push(statement)
          return execute(statement)
        }),
      )
  const store = createPostgresStore({ ...pool, read: noting(pool.read), write: noting(pool.write) })
  const client = new pg.Client(url)
  await client.connect()
  t.teardown(() => client.end())

  /** The most rows that an execution of a statement reads. From the sixth on, its plan may be one for any values. */
  const countRows = async ({ text, values }: PostgresStatement): Promise<number> => {
    await client.query(`begin; prepare poll as ${text}`)
    const list = values.map((value) => pg.escapeLiteral(String(value)))
    const call = list.length === 0 ? 'poll' : `poll(${list.join()})`
    const counts = []
    for (let n = 0; n < EXECUTIONS; n++) {
      const explain = `explain (analyze, format json) execute ${call}`
      const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(explain)
      counts.push(...(rows[0]?.['QUERY PLAN'] ?? []).map(({ Plan }) => rowsRead(Plan)))
    }
    await client.query('rollback; deallocate poll')
    return Math.max(...counts)
  }

  for (const [name, poll] of Object.entries(polls)) {
    statements = []
    await poll(store)
    t.ok(statements.length > 0, name)
    for (const statement of statements.filter(({ text }) => !/^(savepoint|release)/.test(text))) {
      const rows = await countRows(statement)
      t.ok(rows <= FEW_ROWS, `${name}: ${rows} rows: ${statement.text}`)
    }
  }
})
