import { execFile } from 'node:child_process'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')
const PATH = process.env.PATH ?? ''

t.test('two simultaneous first starts come up, fifty times, with one set of keys', async (t) => {
  // A hundred starts: the bundle is read in a quarter of the time that the source takes.
  const folder = t.testdir()
  await run(process.execPath, [join(root, 'scripts/build.ts'), folder], { env: { PATH } })
  const program = join(folder, 'bundle', 'ellipsis-broker.mjs')
  for (let round = 0; round < 50; round++) {
    const directory = join(folder, String(round))
    await mkdir(directory)
    const env = { PATH, BROKER_DATA_DIR: join(directory, 'data') }
    const list = () => run(process.execPath, [program, 'key', 'list', '--json'], { env })
    const [one, other] = await Promise.all([list(), list()])
    const keys = JSON.parse(one.stdout) as { kid: string; status: string }[]
    t.same(
      new Map(keys.map(({ kid, status }) => [kid, status])),
      new Map((JSON.parse(other.stdout) as typeof keys).map(({ kid, status }) => [kid, status])),
    )
    t.same(keys.map(({ status }) => status).sort(), ['active', 'next'])
    t.ok((await readdir(env.BROKER_DATA_DIR)).includes('secret.key'))
    await rm(directory, { recursive: true })
  }
})
