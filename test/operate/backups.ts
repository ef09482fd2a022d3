import { join } from 'node:path'
import type { Test } from 'tap'
import type { Secret } from '../../server/secret.ts'
import { backup } from '../../server/operate/backup.ts'
import { restore } from '../../server/operate/restore.ts'
import { runtime } from '../../server/runtime.ts'
import type { buildHeadless } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

type Runtime = Awaited<ReturnType<typeof buildHeadless>>

export async function makeBackup(t: Test, { dataDir }: Runtime): Promise<string> {
  const file = join(temporaryFolder(t), 'backup.db')
  await backup({ dataDir }, file, runtime)
  return file
}

export const putBack = (
  { config, clock }: Runtime,
  file: string,
  options: { acceptRevoked?: boolean; secrets?: Secret[] } = {},
) =>
  restore({ dataDir: config.dataDir, secrets: options.secrets ?? null }, file, {
    acceptRevoked: options.acceptRevoked ?? false,
    clock,
  })
