import { testContract } from '../contract.ts'
import { openTemporary } from '../temporary.ts'

testContract('SQLite', async (t) => (await openTemporary(t)).store)
