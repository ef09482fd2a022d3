import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import { bundleOptions } from '../../scripts/bundle.ts'
import { PROGRAM_ENV } from '../program.ts'

/** `child.ts` bundled into one file: loading the sources takes five times as long as a child's work. */
const CHILD = join(import.meta.dirname, '../../.tap/db-child.cjs')

let isBundled = false

function bundle(): void {
  if (isBundled) return
  buildSync({
    ...bundleOptions,
    entryPoints: [join(import.meta.dirname, 'child.ts')],
    outfile: CHILD,
    external: ['better-sqlite3'],
    // The migrations are found from where the source is.
    define: { 'import.meta.dirname': JSON.stringify(import.meta.dirname) },
  })
  isBundled = true
}

/** Starts `child.ts MODE DIRECTORY`, without the hooks that tap has in this process. */
export function forkChild(mode: string, directory: string): ChildProcess {
  bundle()
  return fork(CHILD, [mode, directory], { execArgv: [], env: PROGRAM_ENV })
}

/** The first message of a child. @throws Error if it ends before */
export async function firstMessage(child: ChildProcess): Promise<unknown> {
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`it ended with code ${code} and sent nothing`)
  })
  const [message] = (await Promise.race([once(child, 'message'), ended])) as unknown[]
  return message
}
