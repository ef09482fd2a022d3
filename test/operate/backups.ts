import { join } from 'node:path'
import type { Test } from 'tap'
import type { Secret } from '../../server/secret.ts'
import { backup } from '../../server/operate/backup.ts'
import { restore } from '../../server/operate/restore.ts'
import { world } from '../../server/runtime.ts'
import type { buildWorld } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

type World = Awaited<ReturnType<typeof buildWorld>>

export async function makeBackup(t: Test, { dataDir }: World): Promise<string> {
  const file = join(temporaryFolder(t), 'backup.db')
  await backup({ dataDir }, file, world)
  return file
}

export const putBack = (
  { config, clock }: World,
  file: string,
  options: { acceptRevoked?: boolean; secrets?: Secret[] } = {},
) =>
  restore({ dataDir: config.dataDir, secrets: options.secrets ?? null }, file, {
    acceptRevoked: options.acceptRevoked ?? false,
    clock,
  })
