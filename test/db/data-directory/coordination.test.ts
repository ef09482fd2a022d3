import t from 'tap'
import { createFileCoordination } from '../../../db/data-directory/coordination.ts'
import { temporaryFolder } from '../../temporary.ts'
import { testCoordination } from '../coordination.ts'

t.test('by files', async (t) => {
  const directory = temporaryFolder(t)
  testCoordination(t, () => createFileCoordination(directory, undefined))
})
