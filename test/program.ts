import { execFileSync } from 'node:child_process'
import { globSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const folder = join(root, '.tap/bundle')

/**
 * The program for child processes. It is bundled, which starts five times as fast as the sources, and rebuilt
 * when a source has changed.
 */
export const PROGRAM = join(folder, 'ellipsis-broker.cjs')

/** Environment of every child process that runs the program. */
export const PROGRAM_ENV = {
  PATH: process.env.PATH ?? '',
  NODE_COMPILE_CACHE: join(root, '.tap/compile-cache'),
}

const modifiedAt = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
const sources = globSync(['{server,db,views,scripts,sdk}/**', 'package*.json'], { cwd: root })
if (sources.some((file) => modifiedAt(join(root, file)) > modifiedAt(PROGRAM))) {
  const script = `import { makeBundle } from './scripts/bundle.ts'; await makeBundle(${JSON.stringify(folder)})`
  execFileSync(process.execPath, ['--input-type=module', '--eval', script], { cwd: root })
}
