import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../..')

/** A file's limit, milliseconds: it guards against hangs alone. */
const FILE_TIMEOUT_MS = 15 * 60_000

/** Where each suite finds its files. A file belongs to the first suite that has a pattern for it. */
export const suites = {
  browser: ['test/**/*.browser.test.ts', 'test/clients/documents.test.ts'],
  processes: [
    'test/{operate,deploy,cli,data}/**/*.test.ts',
    'test/refresh/{outage,two-processes}.test.ts',
    'test/!(chaos).test.ts',
  ],
  server: ['test/{http,oauth,connections,clients}/**/*.test.ts'],
  parts: ['test/**/*.test.ts'],
}

/** The test files of a suite, relative to the project's root, sorted. */
export function filesOf(suite: keyof typeof suites): string[] {
  const names = Object.keys(suites) as (keyof typeof suites)[]
  const earlier = names.slice(0, names.indexOf(suite)).flatMap((name) => suites[name])
  return globSync(suites[suite], { cwd: root, exclude: earlier }).sort()
}

/** Test files with something that `size` sets, and that therefore runs longer in `npm run test:long`. */
export const longFiles = (): string[] =>
  globSync('test/**/*.test.ts', { cwd: root })
    .filter((file) =>
      /\b(size\(|killRounds\b|testPages\()/.test(readFileSync(join(root, file), 'utf8')),
    )
    .sort()

/**
 * Runs test files one after the other in this process. Loading the server takes over a CPU-second, and so a
 * process for each file would cost more than what the tests do. Ends with the files that took longest.
 */
export async function runFiles(files: string[]): Promise<void> {
  t.setTimeout(0)
  // tap would then end the root at the first moment in which nothing runs, such as between two files.
  t.teardown = () => {
    throw new Error('What a file tears down belongs into one of its tests.')
  }
  const times: { file: string; seconds: number; cpu: number }[] = []
  for (const file of files) {
    const [startedAt, cpu] = [performance.now(), process.cpuUsage()]
    const hung = setTimeout(() => t.bailout(`${file} hangs`), FILE_TIMEOUT_MS)
    await import(join(root, file))
    // tap runs in order: what the file has added comes before this.
    await t.test(file, async () => undefined)
    clearTimeout(hung)
    const { user, system } = process.cpuUsage(cpu)
    times.push({
      file,
      seconds: (performance.now() - startedAt) / 1000,
      cpu: (user + system) / 1_000_000,
    })
  }
  times.sort((one, other) => other.seconds - one.seconds)
  for (const { file, seconds, cpu } of times.slice(0, 10)) {
    t.comment(`${seconds.toFixed(1)} s (${cpu.toFixed(1)} s of processor time) ${file}`)
  }
}
