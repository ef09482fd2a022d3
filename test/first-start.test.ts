import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { cli } from './processes.ts'

t.test('two simultaneous first starts come up, fifty times, with one set of keys', async (t) => {
  for (let round = 0; round < 50; round++) {
    const directory = await mkdtemp(join(tmpdir(), 'first-start-'))
    const env = { BROKER_DATA_DIR: join(directory, 'data') }
    const starts = await Promise.all([0, 1].map(() => cli(['key', 'list', '--json'], env)))
    const keys = starts.map(({ code, stdout, stderr }) => {
      if (code !== 0) t.fail(`round ${round}: ${stderr}`)
      return stdout
    })
    t.equal(keys[0], keys[1])
    t.equal((JSON.parse(keys[0] ?? '[]') as []).length, 1)
    const files = await readdir(env.BROKER_DATA_DIR)
    t.ok(files.includes('secret.key'))
    await rm(directory, { recursive: true })
  }
})
