import { Command } from 'commander'
import { backup } from '../operate/backup.ts'
import { restore } from '../operate/restore.ts'
import { runtime } from '../runtime.ts'
import { loadDataConfig } from './data-config.ts'
import { UsageError, print } from './terminal.ts'
import { lowerPriority } from './lower-priority.ts'

/** `backup`: the database in one file, while brokers run. */
export function backupCommand(): Command {
  return new Command('backup')
    .description('back up the database to a new file while brokers run; encryption keys excluded')
    .argument('<file>', '', parseFile)
    .action(async (file: string) => {
      lowerPriority()
      print(await backup(loadDataConfig(), file, runtime))
    })
}

/** `restore`: replaces the database with a backup. */
export function restoreCommand(): Command {
  return new Command('restore')
    .description(
      'replace the database with a backup and keep the old database; stop all brokers first',
    )
    .argument('<file>', '', parseFile)
    .option('--accept-revoked', 'restore even if later revocations cannot be determined')
    .action(async (file: string, { acceptRevoked = false }: { acceptRevoked?: boolean }) => {
      const { clock } = runtime
      print(await restore(loadDataConfig(), file, { acceptRevoked, clock }))
    })
}

/** @throws UsageError for a name that another shell or program has left in quotation marks */
function parseFile(file: string): string {
  if (!/^(["'`]).*\1$/.test(file)) return file
  throw new UsageError(`The file name ${file} begins and ends with a quotation mark. Remove it.`)
}
