/**
 * `npm run bench:scale -- [10000 [1000000]] [--keep DIRECTORY] [--engine postgres [--kill]]`: the figures in
 * docs/scale.md.
 * Fills two stores with that many connections and measures the dashboard's pages on both. On the larger one,
 * measures swaps during a backup, and during an export of all connections and a bulk revocation of an eighth
 * of them. Works in a temporary directory that it removes. `--keep` saves the filled stores for the next run.
 * With `--engine postgres`, both stores are copied to a temporary PostgreSQL server with `store copy`, and only the pages
 * are measured. `--kill` kills the copy of the larger one ten times.
 */
import { cp, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { query, startCluster } from '../../test/postgres.ts'
import type { Percentiles } from '../load.ts'
import { fillDirectory } from './fill.ts'
import { measureSize } from './size.ts'
import type { SizeResult } from './size.ts'
import { measureSwapsDuringBackup, measureSwapsDuringBulkWork } from './swaps.ts'

const { values, positionals } = parseArgs({
  options: {
    keep: { type: 'string' },
    engine: { type: 'string', default: 'sqlite' },
    kill: { type: 'boolean', default: false },
  },
  allowPositionals: true,
})
const [smallCount = 10_000, largeCount = 1_000_000] = positionals.map(Number)
const print = (line: string) => void process.stdout.write(`${line}\n`)
const parent = await mkdtemp(join(tmpdir(), 'ellipsis-broker-scale-'))
const startedAt = performance.now()
const cluster =
  values.engine === 'postgres'
    ? await startCluster({
        settings: { fsync: 'on' },
        folder: await mkdtemp(join(tmpdir(), 'ellipsis-broker-postgres-')),
      })
    : undefined
try {
  print(`Node.js ${process.version}, ${availableParallelism()} cores, ${cpus()[0]?.model ?? ''}`)
  const small = await measureSize(await prepareStore(smallCount), smallCount, {
    copy: await prepareCopy(smallCount, false),
  })
  await rm(join(parent, String(smallCount)), { recursive: true })
  await measureSize(await prepareStore(largeCount), largeCount, {
    copy: await prepareCopy(largeCount, values.kill),
    async measureMore(large, broker) {
      report(small, large)
      if (cluster) return
      for (const measure of [measureSwapsDuringBackup, measureSwapsDuringBulkWork]) {
        ;(await measure(broker)).forEach(print)
      }
    },
  })
} finally {
  cluster?.stop()
  await rm(parent, { recursive: true, force: true })
}
print(`\n${Math.round((performance.now() - startedAt) / 60_000)} minutes in total`)
if (await exists(parent)) print(`${parent} was not removed`)

/** Creates a database; `undefined`: the store stays on SQLite. */
async function prepareCopy(count: number, kill: boolean) {
  if (!cluster) return undefined
  const name = `size_${count}`
  await query(cluster.urlOf('postgres'), `create database ${name} template template0`)
  return { databaseUrl: cluster.urlOf(name), kill, print }
}

/** Returns a data directory with that many connections: a saved one, or a new one. */
async function prepareStore(count: number): Promise<string> {
  const directory = join(parent, String(count))
  const saved = values.keep && join(values.keep, String(count))
  const startedAt = performance.now()
  if (!saved || !(await exists(saved))) {
    await fillDirectory(directory, count)
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    print(`${count.toLocaleString('en-GB')} connections filled in ${seconds} s`)
    if (!saved) return directory
    await mkdir(values.keep ?? '', { recursive: true })
    await cp(directory, `${saved}.part`, { recursive: true })
    await rename(`${saved}.part`, saved)
  } else await cp(saved, directory, { recursive: true })
  return directory
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function report(small: SizeResult, large: SizeResult): void {
  const format = (times: Percentiles | undefined) =>
    times ? `${times.median.toFixed(1)} / ${times.p99.toFixed(1)}` : '–'
  const formatCount = (count: number) => count.toLocaleString('en-GB')
  print(`
| page: median / 99th percentile, ms | ${formatCount(small.count)} | ${formatCount(large.count)} | growth of the median |
|---|---|---|---|`)
  for (const [name, times] of Object.entries(large.pages)) {
    const before = small.pages[name]
    const growth = before ? (times.median / before.median).toFixed(2) : '–'
    print(`| ${name} | ${format(before)} | ${format(times)} | ${growth} |`)
  }
  const worst = (key: keyof Percentiles, { pages }: SizeResult) =>
    Math.max(...Object.values(pages).map((times) => times[key])).toFixed(1)
  const growth = Object.entries(large.pages).map(
    ([name, times]) => times.median / (small.pages[name]?.median ?? NaN),
  )
  print(
    `| **slowest** (targets 5 and 20; growth 2) | ${worst('median', small)} / ${worst('p99', small)} | ${worst('median', large)} / ${worst('p99', large)} | ${Math.max(...growth).toFixed(2)} |`,
  )
  print(`
| | ${formatCount(small.count)} | ${formatCount(large.count)} |
|---|---|---|`)
  for (const [name, value] of Object.entries(large.figures)) {
    print(`| ${name} | ${small.figures[name] ?? '–'} | ${value} |`)
  }
}
