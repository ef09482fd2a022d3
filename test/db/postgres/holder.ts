// A process that holds the lock `writers` alone, and tells its parent.
import { createClientClass } from '../../../db/postgres/connection.ts'
import { createPool } from '../../../db/postgres/pool.ts'
import { collide } from './statements.ts'

const pool = createPool(createClientClass([process.argv[2] ?? '']))
let attempts = 0
await pool.write(async (execute) => {
  if (attempts++ === 0) await execute(collide)
  process.send?.('holds')
  await new Promise((resolve) => process.once('message', resolve))
})
