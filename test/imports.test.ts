import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const root = join(import.meta.dirname, '..')
/** It isn't imported but run. */
const MAIN = join('server', 'main.ts')

// A process of its own: a timer or a listener that a module started would keep it from ending.
t.test('every file can be imported, and does nothing then', async (t) => {
  const files = globSync('{server,db,views}/**/*.ts', { cwd: root }).sort()
  t.ok(files.includes(MAIN))
  const imports = files
    .filter((file) => file !== MAIN)
    .map((file) => `await import(${JSON.stringify(`./${file}`)})`)
  const script = [...imports, 'console.log("imported")'].join('\n')
  const args = ['--input-type=module', '--eval', script]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: root })
  t.equal(stdout + stderr, 'imported\n')
})
