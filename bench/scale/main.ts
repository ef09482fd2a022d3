/**
 * `npm run bench:scale -- [10000 [1000000]] [--keep DIRECTORY]`: what docs/scale.md's figures come from.
 * Fills a store with so many connections, then another, and measures the dashboard's pages on both; then
 * how swaps fare while everybody is exported and an eighth revoked, and beside a backup. Works in a
 * temporary folder that it removes; `--keep` keeps what was filled, and takes it the next time.
 */
import { cp, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fillDirectory } from './fill.ts'
import { measureSize } from './size.ts'
import type { Measured } from './size.ts'
import { measureBackup, measureLoad } from './swaps.ts'
import type { Times } from './times.ts'

const { values, positionals } = parseArgs({
  options: { keep: { type: 'string' } },
  allowPositionals: true,
})
const [small = 10_000, large = 1_000_000] = positionals.map(Number)
const print = (line: string) => void process.stdout.write(`${line}\n`)
const parent = await mkdtemp(join(tmpdir(), 'ellipsis-broker-scale-'))
const beganAt = performance.now()
try {
  print(`Node.js ${process.version}, ${availableParallelism()} cores, ${cpus()[0]?.model ?? ''}`)
  const few = await measureSize(await filled(small), small)
  await rm(join(parent, String(small)), { recursive: true })
  await measureSize(await filled(large), large, async (many, running) => {
    report(few, many)
    for (const measure of [measureBackup, measureLoad]) (await measure(running)).forEach(print)
  })
} finally {
  await rm(parent, { recursive: true, force: true })
}
print(`\n${Math.round((performance.now() - beganAt) / 60_000)} minutes in all`)
if (await exists(parent)) print(`${parent} is left`)

/** A directory of its own with a store of so many connections. */
async function filled(count: number): Promise<string> {
  const directory = join(parent, String(count))
  const kept = values.keep && join(values.keep, String(count))
  const startedAt = performance.now()
  if (!kept || !(await exists(kept))) {
    await fillDirectory(directory, count)
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    print(`${count.toLocaleString('en-GB')} connections: filled in ${seconds} s`)
    if (!kept) return directory
    await mkdir(values.keep ?? '', { recursive: true })
    await cp(directory, `${kept}.part`, { recursive: true })
    await rename(`${kept}.part`, kept)
  } else await cp(kept, directory, { recursive: true })
  return directory
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

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
}
