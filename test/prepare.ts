/** What `npm test` needs made: tap's class without its TypeScript plugin, and the program for child processes. */
import { execSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const [built, settings] = ['node_modules/@tapjs/test/test-built/package.json', '.taprc'].map(
  (file) => statSync(join(root, file)).mtimeMs,
) as [number, number]
// npm dates what it installs far back, so a class that was not built here is always older.
if (built < settings) execSync('tap build', { cwd: root, stdio: 'inherit' })

await import('./program.ts')
