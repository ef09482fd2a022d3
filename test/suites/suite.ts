import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../..')

/** A file for each suite of the last run: what failed in it, or that it has not ended. */
const resultsFolder = join(root, '.tap/failed-files')

/** The suites of a run. */
const suitesOfRun = (): string[] =>
  process.env.TEST_LONG === undefined ? Object.keys(suites) : ['long']

/** Limit for one file, only against hangs. */
const FILE_TIMEOUT_MS = 15 * 60_000

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

/** Test files with repetitions that `npm run test:long` runs at full size. */
export const longFiles = (): string[] =>
  globSync('test/**/*.test.ts', { cwd: root })
    .filter((file) =>
      /\b(size\(|killRounds\b|testPages\()/.test(readFileSync(join(root, file), 'utf8')),
    )
    .sort()

/** Runs the files of a suite, and records which failed. */
export async function runSuite(suite: string, files: string[]): Promise<void> {
  const record = (failed: string[] | null): void =>
    writeFileSync(join(resultsFolder, suite), JSON.stringify(failed))
  mkdirSync(resultsFolder, { recursive: true })
  record(null)
  record(await runFiles(files))
}

/** The files that failed in the last run. @throws Error if a suite did not end by itself */
export const failedFiles = (): string[] =>
  suitesOfRun().flatMap((suite) => {
    const failed = JSON.parse(readFileSync(join(resultsFolder, suite), 'utf8')) as string[] | null
    if (failed === null) throw new Error(`The suite ${suite} did not end.`)
    return failed
  })

/**
 * Runs test files one after the other in this process, because loading the server takes more than a CPU second.
 * Reports the slowest files at the end.
 * @returns the files that failed
 */
export async function runFiles(files: string[]): Promise<string[]> {
  t.setTimeout(0)
  // A teardown on the root makes tap end it as soon as nothing runs, for example between two files.
  t.teardown = () => {
    throw new Error('Register teardowns in a test, not in the file.')
  }
  const times: { file: string; seconds: number; cpuSeconds: number }[] = []
  const failed: string[] = []
  for (const file of files) {
    const failuresBefore = t.counts.fail
    const [startedAt, cpu] = [performance.now(), process.cpuUsage()]
    const hangTimer = setTimeout(() => t.bailout(`${file} hangs`), FILE_TIMEOUT_MS)
    await import(join(root, file))
    // tap runs tests in order, so this one ends after the tests of the file.
    await t.test(file, async () => undefined)
    clearTimeout(hangTimer)
    if (t.counts.fail > failuresBefore) failed.push(file)
    const { user, system } = process.cpuUsage(cpu)
    times.push({
      file,
      seconds: (performance.now() - startedAt) / 1000,
      cpuSeconds: (user + system) / 1_000_000,
    })
  }
  times.sort((one, other) => other.seconds - one.seconds)
  for (const { file, seconds, cpuSeconds } of times.slice(0, 10)) {
    t.comment(`${seconds.toFixed(1)} s (${cpuSeconds.toFixed(1)} s CPU) ${file}`)
  }
  return failed
}
