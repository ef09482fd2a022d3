import { Command } from 'commander'
import { backup } from '../operate/backup.ts'
import { backupAndRotate } from '../operate/backup-rotation.ts'
import { restore } from '../operate/restore.ts'
import { runtime } from '../runtime.ts'
import { loadDataConfig } from './data-config.ts'
import { UsageError, print } from './terminal.ts'
import { lowerPriority } from './lower-priority.ts'

/** `backup`: the database in one file, while brokers run. */
export function backupCommand(): Command {
  return new Command('backup')
    .description('back up the database to a new file while brokers run; encryption keys excluded')
    .argument('<file>', 'with --keep: a directory', parseFile)
    .option(
      '--keep <number>',
      'write a dated file into a directory, and keep the newest ones of this store',
      parseKeep,
    )
    .action(async (file: string, { keep }: { keep?: number }) => {
      lowerPriority()
      const config = loadDataConfig()
      print(
        await (keep === undefined
          ? backup(config, file, runtime)
          : backupAndRotate(config, file, keep, runtime)),
      )
    })
}

/** @throws UsageError */
function parseKeep(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text)
  throw new UsageError('--keep takes how many backups remain, a number from 1 to 99999.')
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
      print(await restore(loadDataConfig(), file, { acceptRevoked, ...runtime }))
    })
}

/** @throws UsageError for a name that another shell or program has left in quotation marks */
function parseFile(file: string): string {
  if (!/^(["'`]).*\1$/.test(file)) return file
  throw new UsageError(`The file name ${file} begins and ends with a quotation mark. Remove it.`)
}
