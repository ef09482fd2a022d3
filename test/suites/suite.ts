import {
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { join } from 'node:path'
import processOnSpawn from 'process-on-spawn'
import t from 'tap'
import { size } from '../size.ts'

const root = join(import.meta.dirname, '../..')

// Through it tap loads itself into every Node.js that a test starts: a third of the time of a short command.
processOnSpawn.removeAllListeners()

// Processes that tests start from the sources load what is compiled here.
const compileCache = join(root, '.tap/compile-cache')
enableCompileCache(compileCache)
process.env.NODE_COMPILE_CACHE = compileCache

/** Limit for a test of a file, unless it sets its own (`timeout`): it fails, and the others go on. */
const TEST_TIMEOUT_MS = size(5, 10) * 60_000

/** Limit between the starts of two tests, in case one cannot be ended: the suite ends, and others run its files. */
const HANG_TIMEOUT_MS = TEST_TIMEOUT_MS + 5 * 60_000

/** A suite that failed ends by itself after this time, whatever a test left running. */
const EXIT_TIMEOUT_MS = 30_000

/** Patterns of each suite's files. A file belongs to the first suite that matches it. */
const suites = {
  browser: ['test/**/*.browser.test.ts'],
  // These wait for servers, leases and pauses most of the time.
  waits: [
    'test/{events,db/postgres}/**/*.test.ts',
    'test/data/postgres*.test.ts',
    'test/operate/{bad-nights,messages}.test.ts',
  ],
  processes: [
    'test/{operate,deploy,cli,data}/**/*.test.ts',
    'test/refresh/{outage,two-processes}.test.ts',
    'test/!(chaos).test.ts',
  ],
  server: ['test/{http,oauth,connections,clients}/**/*.test.ts'],
  parts: ['test/**/*.test.ts'],
}
type Suite = keyof typeof suites
const suiteNames = Object.keys(suites) as Suite[]

/** The slowest files of `npm run test:long`. Suites start with these: no core waits for a long one in the end. */
const SLOW_FILES = [
  'test/db/model/history.test.ts',
  'test/refresh/protocol/protocol.test.ts',
  'test/chaos.test.ts',
  'test/operate/bad-nights.test.ts',
  'test/db/postgres/contract.test.ts',
  'test/events/killed.test.ts',
  'test/operate/changes-killed.test.ts',
  'test/operate/workers.test.ts',
  'test/binary.test.ts',
  'test/operate/copy-store.test.ts',
  'test/clients/node.test.ts',
  'test/oauth/swap/two-holders.test.ts',
  'test/data/first-start.test.ts',
  'test/operate/root.test.ts',
  'test/operate/secrets.test.ts',
  'test/refresh/outage.test.ts',
  'test/refresh/two-processes.test.ts',
  'test/floods.test.ts',
  'test/deploy/alerts.test.ts',
  'test/oauth/offline/nightly.test.ts',
  'test/browser/axe.data.browser.test.ts',
  'test/sdk/adapters/maps.browser.test.ts',
  'test/sdk/tokens.browser.test.ts',
  'test/sdk/connect.browser.test.ts',
  'test/browser/demo.browser.test.ts',
]

/** The test files of a suite, relative to the project root, in the order in which they run. */
function filesOf(suite: Suite): string[] {
  const earlier = suiteNames.slice(0, suiteNames.indexOf(suite)).flatMap((name) => suites[name])
  const files = globSync(suites[suite], { cwd: root, exclude: earlier }).sort()
  const slow = SLOW_FILES.filter((file) => files.includes(file))
  return [...new Set([...slow, ...files])]
}

/** A folder for each run, named after the process that started the suites. It has a file for each suite and test file. */
const runsFolder = join(root, '.tap/runs')
const ownRun = join(runsFolder, String(process.ppid))
const recordOf = (run: string, name: string): string => join(run, name.replaceAll('/', '+'))

/** Notes that a suite has started, or a file in one of them. Returns `false` if that was noted before. */
function claim(name: string): boolean {
  try {
    writeFileSync(recordOf(ownRun, name), 'started', { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

const startedSuites = (run: string): Suite[] =>
  suiteNames.filter((name) => existsSync(recordOf(run, name)))

/** Files that no suite of this run has started: first the own ones, then those of others, so that all end together. */
function* unclaimedFiles(suite: Suite): Generator<string> {
  for (const file of filesOf(suite)) if (claim(file)) yield file
  for (const other of startedSuites(ownRun))
    for (const file of filesOf(other)) if (claim(file)) yield file
}

/** Runs a suite. */
export async function runSuite(suite: Suite): Promise<void> {
  mkdirSync(ownRun, { recursive: true })
  claim(suite)
  await runFiles(unclaimedFiles(suite), (file, result) =>
    writeFileSync(recordOf(ownRun, file), result),
  )
}

/** The files that failed in the last run, or were running when their suite ended; and those that did not run. */
export function lastResults(): { failed: string[]; notRun: string[] } {
  const changedAt = (run: string) => statSync(run).mtimeMs
  const runs = readdirSync(runsFolder).map((name) => join(runsFolder, name))
  const run = runs.sort((one, other) => changedAt(other) - changedAt(one))[0] ?? ''
  const files = startedSuites(run).flatMap(filesOf)
  const hasRecord = (file: string) => existsSync(recordOf(run, file))
  const hasPassed = (file: string) => readFileSync(recordOf(run, file), 'utf8') === 'passed'
  return {
    failed: files.filter((file) => hasRecord(file) && !hasPassed(file)),
    notRun: files.filter((file) => !hasRecord(file)),
  }
}

/**
 * Runs test files one after the other in this process, because loading the server takes more than a CPU second.
 * Reports the slowest files at the end.
 * @param record called when a file has ended
 */
export async function runFiles(
  files: Iterable<string>,
  record: (file: string, result: 'passed' | 'failed') => void = () => undefined,
): Promise<void> {
  t.setTimeout(0)
  // A teardown on the root makes tap end it as soon as nothing runs, for example between two files.
  t.teardown = () => {
    throw new Error('Register teardowns in a test, not in the file.')
  }
  const times: { file: string; seconds: number; cpuSeconds: number }[] = []
  let current = ''
  // Not a bail-out, which would end the other suites, too.
  const hangTimer = setTimeout(() => {
    console.error(`${current} hangs, and its suite ends`)
    process.exit(1)
  }, HANG_TIMEOUT_MS)
  t.on('subtestStart', (test) => {
    test.options.timeout ??= TEST_TIMEOUT_MS
    hangTimer.refresh()
  })
  for (const file of files) {
    current = file
    const failuresBefore = t.counts.fail
    const [startedAt, cpuBefore] = [performance.now(), cpuSeconds()]
    await import(join(root, file))
    // tap runs tests in order, so this one ends after the tests of the file.
    await t.test(file, async () => undefined)
    flushCompileCache()
    record(file, t.counts.fail > failuresBefore ? 'failed' : 'passed')
    times.push({
      file,
      seconds: (performance.now() - startedAt) / 1000,
      cpuSeconds: cpuSeconds() - cpuBefore,
    })
  }
  clearTimeout(hangTimer)
  times.sort((one, other) => other.seconds - one.seconds)
  for (const { file, seconds, cpuSeconds } of times.slice(0, 10)) {
    t.comment(`${seconds.toFixed(1)} s (${cpuSeconds.toFixed(1)} s CPU) ${file}`)
  }
  if (t.counts.fail > 0) setTimeout(() => process.exit(), EXIT_TIMEOUT_MS).unref()
}

/** CPU time of this process and, on Linux, of those of its child processes that have ended. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  const own = (user + system) / 1_000_000
  if (process.platform !== 'linux') return own
  // proc_pid_stat(5): cutime and cstime, in ticks of 10 ms.
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? []
  return own + (Number(fields[13]) + Number(fields[14])) / 100
}
