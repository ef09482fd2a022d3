import { statSync } from 'node:fs'
import type { Store } from '../store.ts'
import type { SqliteEngine } from './engine.ts'

type Methods = 'releaseSpace' | 'checkWritable' | 'close'

/** Free pages of 4 KiB that stay for new data. */
const KEPT_FREE_PAGES = 256
/** Pages that are returned at a time: each may be a copy of another page. */
const RELEASED_PAGES = 16

/** The file at a path by its device and inode; empty: no such file. */
function identify(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found ? `${found.dev}:${found.ino}` : ''
}

/** Free space, and health. */
export function upkeepMethods(engine: SqliteEngine): Pick<Store, Methods> {
  const { client, read, write, writeFleeting } = engine
  const opened = identify(client.name)

  /** A store that an older version made keeps its free pages for new data. */
  const isIncremental = (): boolean => client.pragma('auto_vacuum', { simple: true }) === 2

  return {
    releaseSpace: async () => {
      const excess = await read(
        () => Number(client.pragma('freelist_count', { simple: true })) - KEPT_FREE_PAGES,
      )
      if (excess <= 0 || !isIncremental()) return false
      const count = Math.min(excess, RELEASED_PAGES)
      await writeFleeting(() => client.pragma(`incremental_vacuum(${count})`))
      return excess > count
    },

    /**
     * Changes a number in the file's header that nothing else uses: only a commit shows that the disk has room.
     * What is written to a file that was moved away is lost to everybody else.
     */
    checkWritable: () =>
      write(() => {
        if (identify(client.name) !== opened) {
          const moved = new Error(
            `${client.name} is another file than the one that is open, or gone`,
          )
          throw Object.assign(moved, { code: 'SQLITE_READONLY_DBMOVED' })
        }
        const version = Number(client.pragma('user_version', { simple: true }))
        client.pragma(`user_version = ${1 - version}`)
      }),

    /** Writes in progress are committed first. */
    async close() {
      try {
        await write(() => undefined)
      } finally {
        client.close()
      }
    },
  }
}
