import { readFileSync } from 'node:fs'
import pg from 'pg'
import { openPostgresStore } from '../../../db/postgres/open.ts'
import { testContract } from '../contract.ts'
let n = 0
const sql = readFileSync(
  `${import.meta.dirname}/../../../db/migrations/postgres/0000_initial.sql`,
  'utf8',
)
testContract('PostgreSQL', async (t) => {
  const admin = new pg.Client({ host: '/tmp', port: 54999, user: 'postgres', database: 'postgres' })
  await admin.connect()
  const database = `t${process.pid}_${n++}`
  await admin.query(`create database ${database} template template0`)
  await admin.end()
  const store = await openPostgresStore({
    connection: { host: '/tmp', port: 54999, user: 'postgres', database },
    migrations: [{ name: '0000_initial', sql }],
  })
  t.teardown(() => store.close().catch(() => undefined))
  return store
})
