import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { noFakeTime } from './chaos/postgres/clock.ts'
import { noNamespaces } from './chaos/postgres/hosts.ts'
import { noPostgres } from './postgres.ts'
import { isLong, size } from './size.ts'

const MAIN = join(import.meta.dirname, 'chaos/main.ts')
const DURATION_SECONDS = size(3, 25)

for (const rotation of isLong ? ['always', 'grace', 'never'] : ['grace']) {
  t.test(
    `${DURATION_SECONDS} seconds of chaos with rotation ${rotation} lose nothing`,
    async (t) => {
      const plan = { seconds: DURATION_SECONDS, round: DURATION_SECONDS, seed: 1, rotation }
      const scale = { brokers: size(2, 3), connections: size(20, 60) }
      const args = Object.entries({ ...plan, ...scale }).map(
        ([name, value]) => `--${name}=${value}`,
      )
      // If something was lost, it exits with 1 and this rejects with its report.
      const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args])
      t.match(stdout, /^0 lost, stuck or marked in any other way$/m)
      const [, kills] = /^(\d+) kills over/m.exec(stdout) ?? []
      t.ok(Number(kills) > 0, 'something was killed')
      for (const line of stdout.split('\n').slice(-7)) t.comment(line)
    },
  )
}

const skip = (!isLong && 'in npm run test:long') || noPostgres || noFakeTime || noNamespaces()

t.test('chaos on PostgreSQL, its servers and the network loses nothing', { skip }, async (t) => {
  const plan = { engine: 'postgres', faults: 12, round: 12, connections: 12, rotation: 'grace' }
  const args = Object.entries(plan).map(([name, value]) => `--${name}=${value}`)
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args])
  t.match(stdout, /^0 lost, stuck or marked in any other way$/m)
  const [, faults] = /, (\d+) faults,/.exec(stdout) ?? []
  t.ok(Number(faults) >= 12, 'faults were injected')
  for (const line of stdout.split('\n').slice(-7)) t.comment(line)
})
