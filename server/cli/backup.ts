import { Command } from 'commander'
import { loadConfig, readEnvironment } from '../config/config.ts'
import { backup } from '../operate/backup.ts'
import { restore } from '../operate/restore.ts'
import { runtime } from '../runtime.ts'
import { print } from './output.ts'
import { lowerPriority } from './lower-priority.ts'

/** `backup`: the store into one file, while brokers serve. */
export function backupCommand(): Command {
  return new Command('backup')
    .description('copy the store into a new file, while brokers serve; never the encryption keys')
    .argument('<file>')
    .action(async (file: string) => {
      lowerPriority()
      print(await backup(loadConfig(readEnvironment()), file, runtime))
    })
}

/** `restore`: a backup in the place of the store. */
export function restoreCommand(): Command {
  return new Command('restore')
    .description('put a backup in the place of the store, which is kept aside; no broker may run')
    .argument('<file>')
    .option('--accept-revoked', 'also where it can’t be told what was revoked since the backup')
    .action(async (file: string, { acceptRevoked = false }: { acceptRevoked?: boolean }) => {
      const { clock } = runtime
      print(await restore(loadConfig(readEnvironment()), file, { acceptRevoked, clock }))
    })
}
