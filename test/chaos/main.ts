/**
 * `npm run chaos -- [--engine sqlite|postgres] [--seconds 60] [--kills N] [--faults N] [--seed 1] [--rotation always]
 * [--brokers 3] [--connections 60] [--spare-brokers]`: kills, pauses and starves brokers, and on PostgreSQL its
 * servers and the network, under load. `--spare-brokers`: only the database and the network to it.
 * `CHAOS_VERBOSE=1` prints each fault, and what recovers slowly. After each round, checks that nothing was lost that
 * should not be; exits with 1 otherwise. SIGINT ends it after the round. The seed determines the faults, not their exact timing.
 */
import { parseArgs } from 'node:util'
import { checkConnections } from './check.ts'
import type { Loss } from './check.ts'
import { createEnvironment } from './environment.ts'
import { runLoad } from './load.ts'
import { createPostgresEnvironment } from './postgres/environment.ts'
import { enterOwnNetwork } from './postgres/hosts.ts'
import { createSeededRandom } from './random.ts'

const text = (value: string) => ({ type: 'string', default: value }) as const
const { values } = parseArgs({
  options: {
    seconds: text('60'),
    engine: text('sqlite'),
    kills: text('0'),
    faults: text('0'),
    'spare-brokers': { type: 'boolean', default: false },
    seed: text('1'),
    rotation: text('always'),
    brokers: text('3'),
    connections: text('60'),
    round: text('20'),
  },
})
const rotation = values.rotation as 'always' | 'grace' | 'never'
const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
const [kills, faults] = [Number(values.kills), Number(values.faults)]
const print = (line: string) => void process.stdout.write(`${line}\n`)

if (values.engine === 'postgres') await enterOwnNetwork()
const random = createSeededRandom(seed)
const scale = { brokers: Number(values.brokers), connections: Number(values.connections) }
const startedAt = Date.now()
const environment =
  values.engine === 'postgres'
    ? await createPostgresEnvironment({ rotation, ...scale, spareBrokers: values['spare-brokers'] })
    : await createEnvironment({ rotation, ...scale })
print(
  `rotation ${rotation}, ${scale.brokers} brokers, ${scale.connections} connections, seed ${seed}`,
)
const totals = { faults: {} as Record<string, number>, statuses: {} as Record<string, number> }
const violations: string[] = []
const lost: Partial<Record<Loss, number>> = {}
let [calledLate, outOfGrace, slow, slowestMs] = [0, 0, 0, 0]
const countLost = () => Object.values(lost).reduce((sum, count) => sum + count, 0)

const sum = (field: 'kills' | 'crashes') =>
  environment.brokers.reduce((total, broker) => total + broker[field], 0)
/** Faults that took place. */
const countFaults = (kind = /^/) =>
  environment.faults.filter(
    ({ name }) => kind.test(name) && !/skipped|tried|not reached/.test(name),
  ).length
let isStopped = false
process.once('SIGINT', () => (isStopped = true))
const isOver = () => {
  if (isStopped) return true
  if (kills > 0) return sum('kills') >= kills
  if (faults > 0) return countFaults() >= faults
  return Date.now() - startedAt >= seconds * 1000
}

const add = (to: Record<string, number>, from: Record<string, number>) => {
  for (const [name, count] of Object.entries(from)) to[name] = (to[name] ?? 0) + count
}

for (let round = 1; round === 1 || !isOver(); round++) {
  const stop = new AbortController()
  const load = runLoad(environment, random, stop.signal)
  const roundEnd = AbortSignal.timeout(Number(values.round) * 1000)
  const moreLoad = environment.runMoreLoad?.(random, stop.signal) ?? []
  add(totals.faults, await environment.injectFaults(random, roundEnd))
  stop.abort()
  add(totals.statuses, await load)
  const found = await checkConnections(environment)
  found.violations.push(...(await moreLoad), ...((await environment.checkMore?.()) ?? []))
  add(lost, found.lost)
  calledLate += found.calledLate
  outOfGrace += found.outOfGrace
  slow += found.slow
  slowestMs = Math.max(slowestMs, found.slowestMs)
  violations.push(...found.violations)
  const minutes = ((Date.now() - startedAt) / 60_000).toFixed(1)
  print(
    `round ${round}, ${minutes} min: ${countFaults()} faults, ${sum('kills')} kills, ${environment.standIn.calls.refresh} calls upstream, ` +
      `${countLost()} allowed losses, all recovered after ${(found.slowestMs / 1000).toFixed(1)} s`,
  )
  for (const violation of found.violations) print(`  VIOLATION ${violation}`)
}

const table = (counts: Record<string, number>) =>
  Object.entries(counts)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, count]) => `  ${String(count).padStart(6)}  ${name}`)
    .join('\n')
print(`\nFaults:\n${table(totals.faults)}`)
print(`\nSwaps by status (0: no response):\n${table(totals.statuses)}`)
if ((totals.statuses[200] ?? 0) === 0) {
  violations.push('idle')
  print('  VIOLATION no swap succeeded between the faults, so none was tested')
}
if (sum('crashes') > 0) {
  violations.push('crashed')
  print(`  VIOLATION brokers crashed ${sum('crashes')} times`)
}
const killed = sum('kills')
await environment.end(violations.length > 0)
if (violations.length > 0) print(`Log of the brokers: ${environment.logFile}`)
print(`
${killed} kills over ${environment.standIn.calls.refresh} calls upstream, ${countFaults()} faults, ${countFaults(/^upstream/)} of them of upstream, rotation ${rotation}:
${countLost()} connections lost because upstream had rotated and the response never reached the disk, each marked as such:
  ${lost['on the way'] ?? 0} because no process received it
  ${lost['killed at once'] ?? 0} because the process that received it was killed within two seconds
  ${lost['killed later'] ?? 0} because it was killed later, while the disk was full
${calledLate} more because a process was paused for longer than the lease
${outOfGrace} more because for most of upstream's grace period the disk was full, the database locked or the lease holder paused
${slow} times a connection was refreshed after the faults, but no forced swap got its token within ten seconds
${violations.length} lost, stuck or marked in any other way
the slowest connection recovered ${(slowestMs / 1000).toFixed(1)} s after the last fault`)
process.exit(violations.length === 0 ? 0 : 1)
