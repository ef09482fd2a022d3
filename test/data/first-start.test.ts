import { execFile } from 'node:child_process'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'

const run = promisify(execFile)
const ROUNDS = size(3, 10)

t.test(
  `two simultaneous first starts come up, ${ROUNDS} times, with one set of keys`,
  async (t) => {
    const folder = temporaryFolder(t)
    for (let round = 0; round < ROUNDS; round++) {
      const directory = join(folder, String(round))
      await mkdir(directory)
      const env = { ...PROGRAM_ENV, BROKER_DATA_DIR: join(directory, 'data') }
      const call = (...args: string[]) => run(process.execPath, [PROGRAM, ...args], { env })
      const start = async () => {
        await call('app', 'add', 'My map', '--device')
        return call('key', 'list', '--json')
      }
      const [one, other] = await Promise.all([start(), start()])
      const keys = JSON.parse(one.stdout) as { kid: string; status: string }[]
      t.same(
        new Map(keys.map(({ kid, status }) => [kid, status])),
        new Map((JSON.parse(other.stdout) as typeof keys).map(({ kid, status }) => [kid, status])),
      )
      t.same(keys.map(({ status }) => status).sort(), ['active', 'next'])
      t.ok((await readdir(env.BROKER_DATA_DIR)).includes('secret.key'))
      await rm(directory, { recursive: true })
    }
  },
)
