import t from 'tap'
import { noPostgres } from '../../postgres.ts'
import { testContract } from '../contract.ts'
import { openTemporary } from './temporary.ts'

if (noPostgres) t.test('PostgreSQL', { skip: noPostgres }, () => undefined)
else testContract('PostgreSQL', async (t) => (await openTemporary(t)).store)
