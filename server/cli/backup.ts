import { Command } from 'commander'
import { runtime } from '../runtime.ts'
import { findStore, noteStore } from './settings.ts'
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
      const found = findStore()
      noteStore(found)
      const { refuseBackup } = await import('../operate/postgres-backup.ts')
      await refuseBackup(found.config, file)
      if (keep === undefined) {
        const { backup } = await import('../operate/backup.ts')
        print(await backup(found.config, file, runtime))
      } else {
        const { backupAndRotate } = await import('../operate/backup-rotation.ts')
        print(await backupAndRotate(found.config, file, keep, runtime))
      }
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
      // A new machine has no store yet.
      const found = findStore({ create: true })
      noteStore(found)
      const { refuseRestore } = await import('../operate/postgres-backup.ts')
      refuseRestore(found.config, file)
      const { restore } = await import('../operate/restore.ts')
      print(await restore(found.config, file, { acceptRevoked, ...runtime }))
    })
}

/** @throws UsageError for a name that another shell or program has left in quotation marks */
function parseFile(file: string): string {
  if (!/^(["'`]).*\1$/.test(file)) return file
  throw new UsageError(`The file name ${file} begins and ends with a quotation mark. Remove it.`)
}
