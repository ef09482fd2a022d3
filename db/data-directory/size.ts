import { stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'

export interface StorageSize {
  /** Free space on the disk, for this user; `null`: unknown, as of another host. */
  freeBytes: number | null
  databaseBytes: number
  /** The write-ahead log; 0 if the file does not exist; `null`: it is not the store's own. */
  logBytes: number | null
}

/** @throws as node:fs does, if there is no database in the directory */
export async function measureStorage(directory: string): Promise<StorageSize> {
  const database = join(directory, 'broker.db')
  const sizeOfLog = stat(`${database}-wal`).then(
    ({ size }) => size,
    () => 0,
  )
  const [{ bavail, bsize }, { size }, logBytes] = await Promise.all([
    statfs(directory),
    stat(database),
    sizeOfLog,
  ])
  return { freeBytes: bavail * bsize, databaseBytes: size, logBytes }
}
