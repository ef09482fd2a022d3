/**
 * `npm run chaos -- [--seconds 60] [--kills N] [--seed 1] [--rotation always] [--brokers 3] [--connections 60]`:
 * kills, stops and starves brokers under load, and looks after each round whether anything was lost that
 * needn't be. The seed fixes the plan of faults, not how they fall. Fails if it finds anything.
 */
import { parseArgs } from 'node:util'
import { check } from './check.ts'
import { load } from './load.ts'
import { wreak } from './mayhem.ts'
import { createDice } from './random.ts'
import { prepare } from './setting.ts'

const text = (value: string) => ({ type: 'string', default: value }) as const
const { values } = parseArgs({
  options: {
    seconds: text('60'),
    kills: text('0'),
    seed: text('1'),
    rotation: text('always'),
    brokers: text('3'),
    connections: text('60'),
    round: text('20'),
  },
})
const rotation = values.rotation as 'always' | 'grace' | 'never'
const [seconds, kills, seed] = [Number(values.seconds), Number(values.kills), Number(values.seed)]
const print = (line: string) => void process.stdout.write(`${line}\n`)

const dice = createDice(seed)
const numbers = { brokers: Number(values.brokers), connections: Number(values.connections) }
const began = Date.now()
const setting = await prepare({ rotation, ...numbers })
print(
  `rotation ${rotation}, ${numbers.brokers} brokers, ${numbers.connections} connections, seed ${seed}`,
)
const totals = { actions: {} as Record<string, number>, answers: {} as Record<string, number> }
const violations: string[] = []
let [lost, overslept, outOfGrace, slowest] = [0, 0, 0, 0]

const sum = (of: 'kills' | 'crashes') =>
  setting.brokers.reduce((total, broker) => total + broker[of], 0)
const killed = () => sum('kills')
const isOver = () => (kills > 0 ? killed() >= kills : Date.now() - began >= seconds * 1000)

const add = (to: Record<string, number>, from: Record<string, number>) => {
  for (const [name, count] of Object.entries(from)) to[name] = (to[name] ?? 0) + count
}

for (let round = 1; round === 1 || !isOver(); round++) {
  const stop = new AbortController()
  const working = load(setting, dice, stop.signal)
  const wrecking = wreak(setting, dice, AbortSignal.timeout(Number(values.round) * 1000))
  add(totals.actions, await wrecking)
  stop.abort()
  add(totals.answers, await working)
  const found = await check(setting)
  lost += found.lost
  overslept += found.overslept
  outOfGrace += found.outOfGrace
  slowest = Math.max(slowest, found.slowest)
  violations.push(...found.violations)
  const minutes = ((Date.now() - began) / 60_000).toFixed(1)
  print(
    `round ${round}, ${minutes} min: ${killed()} kills, ${setting.standIn.calls.refresh} calls upstream, ` +
      `${lost} lost as they may be, all well again after ${(found.slowest / 1000).toFixed(1)} s`,
  )
  for (const violation of found.violations) print(`  VIOLATION ${violation}`)
}

const table = (counts: Record<string, number>) =>
  Object.entries(counts)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, count]) => `  ${String(count).padStart(6)}  ${name}`)
    .join('\n')
print(`\nDone to them:\n${table(totals.actions)}`)
print(`\nSwaps by answer (0: none came):\n${table(totals.answers)}`)
const total = killed()
if (sum('crashes') > 0) {
  violations.push('ended by itself')
  print(`  VIOLATION ${sum('crashes')} times a broker ended by itself`)
}
await setting.end(violations.length > 0)
if (violations.length > 0) print(`What the brokers logged: ${setting.logFile}`)
print(`
${total} kills over ${setting.standIn.calls.refresh} calls upstream, rotation ${rotation}:
${lost} connections lost because upstream had rotated and the answer never reached the disk, each shown as such
${overslept} more because a process had been paused between its lease and its call, for longer than the lease
${outOfGrace} more because for most of upstream's grace the disk was full, the database locked, or the holder of a lease stopped
${violations.length} lost, stuck or marked in any other way
the slowest was well again ${(slowest / 1000).toFixed(1)} s after the last fault`)
process.exit(violations.length === 0 ? 0 : 1)
