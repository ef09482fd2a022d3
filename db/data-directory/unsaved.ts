import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectory, replaceFile } from './files.ts'

const DRAFT = '.new'

/** Files of the data directory for sealed values that the database can't take at the moment (`UnsavedFiles`). */
export function createUnsavedFiles(dataDirectory: string) {
  const folder = join(dataDirectory, 'unsaved')
  return {
    write(name: string, content: Uint8Array): void {
      makeDirectory(folder)
      replaceFile(join(folder, name), content)
    },
    read: (name: string): Uint8Array | null =>
      existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : null,
    remove: (name: string): void => rmSync(join(folder, name), { force: true }),
    list: (): string[] =>
      existsSync(folder) ? readdirSync(folder).filter((name) => !name.endsWith(DRAFT)) : [],
  }
}
