import { globSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'

const root = join(import.meta.dirname, '..')
/** It isn't imported but run. */
const PROGRAM = join('server', 'main.ts')

// Coverage is blind to a file that nothing loads. And importing one must do nothing: a timer or a
// listener that a module started would keep this test from ending.
t.test('every file can be imported', async (t) => {
  const files = globSync('{server,db,views}/**/*.ts', { cwd: root }).sort()
  t.ok(files.includes(PROGRAM))
  for (const file of files) {
    if (file === PROGRAM) continue
    t.ok(await import(pathToFileURL(join(root, file)).href), file)
  }
})
