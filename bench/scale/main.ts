/**
 * `npm run bench:scale`: what docs/scale.md's figures come from. Fills a store with ten thousand
 * connections, then one with a million, in a temporary folder that it removes, and measures the
 * dashboard's pages on both; then how swaps fare while a million are exported and a hundred thousand
 * revoked. Filling takes most of the time, up to an hour, and some 6 GB of disk. `-- 1000 20000` measures with other sizes.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { measureSize } from './size.ts'
import type { Measured } from './size.ts'
import type { Times } from './times.ts'

const [small = 10_000, large = 1_000_000] = process.argv.slice(2).map(Number)
const print = (line: string) => void process.stdout.write(`${line}\n`)
const parent = await mkdtemp(join(tmpdir(), 'ellipsis-broker-scale-'))
const beganAt = performance.now()
try {
  print(`Node.js ${process.version}, ${availableParallelism()} cores, ${cpus()[0]?.model ?? ''}`)
  const few = await measureSize(join(parent, 'few'), small, { load: false }, print)
  await rm(join(parent, 'few'), { recursive: true })
  const many = await measureSize(join(parent, 'many'), large, { load: true }, print)
  report(few, many)
} finally {
  await rm(parent, { recursive: true, force: true })
}
print(`\n${Math.round((performance.now() - beganAt) / 60_000)} minutes in all`)
await stat(parent).then(
  () => print(`${parent} is left`),
  () => undefined,
)

function report(few: Measured, many: Measured): void {
  const one = (times: Times | undefined) =>
    times ? `${times.median.toFixed(1)} / ${times.p99.toFixed(1)}` : '–'
  const n = (count: number) => count.toLocaleString('en-GB')
  print(`
| page: median / 99th percentile, ms | ${n(few.count)} | ${n(many.count)} | growth of the median |
|---|---|---|---|`)
  for (const [name, times] of Object.entries(many.pages)) {
    const before = few.pages[name]
    const growth = before ? (times.median / before.median).toFixed(2) : '–'
    print(`| ${name} | ${one(before)} | ${one(times)} | ${growth} |`)
  }
  const worst = (key: keyof Times, { pages }: Measured) =>
    Math.max(...Object.values(pages).map((times) => times[key])).toFixed(1)
  const growth = Object.entries(many.pages).map(
    ([name, times]) => times.median / (few.pages[name]?.median ?? NaN),
  )
  print(
    `| **slowest** (aims 5 and 20; growth 2) | ${worst('median', few)} / ${worst('p99', few)} | ${worst('median', many)} / ${worst('p99', many)} | ${Math.max(...growth).toFixed(2)} |`,
  )
  print(`
| | ${n(few.count)} | ${n(many.count)} |
|---|---|---|`)
  for (const [name, value] of Object.entries(many.figures)) {
    print(`| ${name} | ${few.figures[name] ?? '–'} | ${value} |`)
  }
  for (const line of many.loaded) print(line)
}
