import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const root = join(import.meta.dirname, '..')
/** Runs on import. */
const MAIN = join('server', 'main.ts')

// In a child process, which a timer or listener started by a module would keep running.
t.test('importing a file has no side effects', async (t) => {
  const files = globSync('{server,db,views,sdk}/**/*.ts', { cwd: root }).sort()
  t.ok(files.includes(MAIN))
  const imports = files
    .filter((file) => file !== MAIN)
    .map((file) => `await import(${JSON.stringify(`./${file}`)})`)
  const script = [...imports, 'console.log("imported")'].join('\n')
  const args = ['--input-type=module', '--eval', script]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: root })
  t.equal(stdout + stderr, 'imported\n')
})
