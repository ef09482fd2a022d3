// A process that waits for the answer to a statement which takes an hour.
import { connect, createClientClass, NO_TIMEOUT } from '../../../db/postgres/connection.ts'

const client = await connect(createClientClass([process.argv[2] ?? '']), NO_TIMEOUT)
const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
process.send?.(rows[0]?.pid)
await client.query('select pg_sleep(3600)')
