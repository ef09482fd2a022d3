import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isLong, size } from '../size.ts'

const root = join(import.meta.dirname, '../..')

/** A file for each suite of the last run: its `Results`. */
const resultsFolder = join(root, '.tap/failed-files')

interface Results {
  failed: string[]
  /** The suite ended before these. */
  notRun: string[]
}

/** The suites of a run. */
const suitesOfRun = (): string[] => (isLong ? ['long-processes', 'long-rest'] : Object.keys(suites))

/** Limit for a test of a file, unless it sets its own (`timeout`): it fails, and the others go on. */
const TEST_TIMEOUT_MS = size(5, 10) * 60_000

/** Limit between the starts of two tests, in case one cannot be ended: the suite ends. */
const HANG_TIMEOUT_MS = TEST_TIMEOUT_MS + 5 * 60_000

/** A suite that failed ends by itself after this time, whatever a test left running. */
const EXIT_TIMEOUT_MS = 30_000

/** Patterns of each suite's files. A file belongs to the first suite that matches it. */
const suites = {
  browser: ['test/**/*.browser.test.ts'],
  processes: [
    'test/{operate,deploy,cli,data}/**/*.test.ts',
    'test/refresh/{outage,two-processes}.test.ts',
    'test/!(chaos).test.ts',
  ],
  server: ['test/{http,oauth,connections,clients}/**/*.test.ts'],
  parts: ['test/**/*.test.ts'],
}

/** The test files of a suite, relative to the project root, sorted. */
export function filesOf(suite: keyof typeof suites): string[] {
  const names = Object.keys(suites) as (keyof typeof suites)[]
  const earlier = names.slice(0, names.indexOf(suite)).flatMap((name) => suites[name])
  return globSync(suites[suite], { cwd: root, exclude: earlier }).sort()
}

/**
 * Test files with repetitions that `npm run test:long` runs at full size, in two halves of equal length.
 * `processes` mostly waits for child processes and browsers. What measures speed stays together in `rest`.
 */
export function longFiles(half: 'processes' | 'rest'): string[] {
  const all = globSync('test/**/*.test.ts', { cwd: root }).filter((file) =>
    /\b(size\(|killRounds\b|testPages\()/.test(readFileSync(join(root, file), 'utf8')),
  )
  const waits = /killed|chaos|first-start|two-processes|events\/delivery|browser|operate/
  return all.filter((file) => waits.test(file) === (half === 'processes')).sort()
}

/** Runs the files of a suite, and records which failed. */
export async function runSuite(suite: string, files: string[]): Promise<void> {
  mkdirSync(resultsFolder, { recursive: true })
  await runFiles(files, (results) =>
    writeFileSync(join(resultsFolder, suite), JSON.stringify(results)),
  )
}

/** What the last run left: the files that failed, and those that it did not get to. */
export function lastResults(): Results {
  const all = suitesOfRun().map(
    (suite) => JSON.parse(readFileSync(join(resultsFolder, suite), 'utf8')) as Results,
  )
  return {
    failed: all.flatMap(({ failed }) => failed),
    notRun: all.flatMap(({ notRun }) => notRun),
  }
}

/**
 * Runs test files one after the other in this process, because loading the server takes more than a CPU second.
 * Reports the slowest files at the end.
 * @param record called before each file with what holds if the process ends in it, and at the end
 */
export async function runFiles(
  files: string[],
  record: (results: Results) => void = () => undefined,
): Promise<void> {
  t.setTimeout(0)
  // A teardown on the root makes tap end it as soon as nothing runs, for example between two files.
  t.teardown = () => {
    throw new Error('Register teardowns in a test, not in the file.')
  }
  const times: { file: string; seconds: number; cpuSeconds: number }[] = []
  const failed: string[] = []
  let current = ''
  // Not a bail-out, which would end the other suites, too.
  const hangTimer = setTimeout(() => {
    console.error(`${current} hangs, and what follows does not run`)
    process.exit(1)
  }, HANG_TIMEOUT_MS)
  t.on('subtestStart', (test) => {
    test.options.timeout ??= TEST_TIMEOUT_MS
    hangTimer.refresh()
  })
  for (const [index, file] of files.entries()) {
    current = file
    record({ failed: [...failed, file], notRun: files.slice(index + 1) })
    const failuresBefore = t.counts.fail
    const [startedAt, cpu] = [performance.now(), process.cpuUsage()]
    await import(join(root, file))
    // tap runs tests in order, so this one ends after the tests of the file.
    await t.test(file, async () => undefined)
    if (t.counts.fail > failuresBefore) failed.push(file)
    const { user, system } = process.cpuUsage(cpu)
    times.push({
      file,
      seconds: (performance.now() - startedAt) / 1000,
      cpuSeconds: (user + system) / 1_000_000,
    })
  }
  clearTimeout(hangTimer)
  record({ failed, notRun: [] })
  times.sort((one, other) => other.seconds - one.seconds)
  for (const { file, seconds, cpuSeconds } of times.slice(0, 10)) {
    t.comment(`${seconds.toFixed(1)} s (${cpuSeconds.toFixed(1)} s CPU) ${file}`)
  }
  if (failed.length > 0) setTimeout(() => process.exit(), EXIT_TIMEOUT_MS).unref()
}
