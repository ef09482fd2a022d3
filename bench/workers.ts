/**
 * `node bench/workers.ts [COUNT…]`: exchanges per second of one process and of that many workers (default: 1 2), in
 * turns, and the processor time of an exchange. The load client needs a core of its own.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../test/helper.ts'
import { buildRequest, sendLoad } from './load.ts'
import { startBench, startProcess, waitUntilReachable } from './setup.ts'

const ROUNDS = 9
const CONNECTIONS = 64
const counts = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1, 2]

await using cleanup = new AsyncDisposableStack()
const bench = await startBench(cleanup)
const sides = [{ name: 'one process', url: bench.url, pid: bench.pid }]
for (const count of counts) {
  const port = await freePort()
  const env = { ...bench.env, BROKER_PORT: String(port) }
  const args = ['server/main.ts', 'serve', '--workers', String(count)]
  const { pid = 0 } = startProcess(cleanup, args, env)
  const url = `http://127.0.0.1:${port}`
  await waitUntilReachable(url)
  while (childrenOf(pid).length < count) await sleep(100)
  sides.push({ name: `${count} workers`, url, pid })
}

const results = sides.map((side) => ({
  ...side,
  rates: [] as number[],
  microseconds: [] as number[],
}))
for (let round = -1; round < ROUNDS; round++) {
  for (const { url, pid, rates, microseconds } of results) {
    const headers = { authorization: `Bearer ${bench.brokerToken}` }
    const before = cpuSeconds(pid)
    const startedAt = performance.now()
    const rate = await sendLoad(url, buildRequest(`${url}/exchange`, 'POST', headers), {
      connections: CONNECTIONS,
    })
    const requests = (rate * (performance.now() - startedAt)) / 1000
    // The first round warms up.
    if (round < 0) continue
    rates.push(rate)
    microseconds.push(((cpuSeconds(pid) - before) / requests) * 1e6)
  }
}
const [base] = results
for (const { name, rates, microseconds } of results) {
  const ratio = median(rates.map((rate, round) => rate / (base?.rates[round] ?? NaN)))
  const rate = Math.round(median(rates))
  console.log(`${name}: ${ratio.toFixed(2)} (${rate}/s), ${median(microseconds).toFixed(1)} µs CPU`)
}

function median(values: number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? NaN
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}

/** Processor time of a process and its children, with a resolution of ten milliseconds. */
function cpuSeconds(pid: number): number {
  const ticks = [pid, ...childrenOf(pid)].map((one) => {
    const fields = readFileSync(`/proc/${one}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return Number(fields[11]) + Number(fields[12])
  })
  return ticks.reduce((sum, one) => sum + one, 0) / 100
}
