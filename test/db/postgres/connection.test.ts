import t from 'tap'
import { createClientClass } from '../../../db/postgres/connection.ts'
import { createDatabase, noPostgres, query } from '../../postgres.ts'

t.test(
  'a connection that breaks between two queries fails the next one, and ends no process',
  { skip: noPostgres },
  async (t) => {
    const url = await createDatabase(t)
    const client = new (createClientClass([url]))()
    await client.connect()
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    const closed = new Promise((resolve) => client.once('end', resolve))
    await query(url, `select pg_terminate_backend(${rows[0]?.pid})`)
    await closed
    await t.rejects(client.query('select 1'))
  },
)
