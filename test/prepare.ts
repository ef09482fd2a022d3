/**
 * Builds what `npm test` needs: tap without its TypeScript plugin, and the program for child processes. Removes the
 * records of earlier runs.
 */
import { execSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const tapClass = join(root, 'node_modules/@tapjs/test/test-built/src/index.ts')
// The plugin compiles each test, but Node runs TypeScript directly.
if (readFileSync(tapClass, 'utf8').includes('@tapjs/typescript')) {
  execSync('tap build', { cwd: root, stdio: 'inherit' })
}

rmSync(join(root, '.tap/runs'), { recursive: true, force: true })

await import('./program.ts')
