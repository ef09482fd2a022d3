import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

const MEMORY = '/dev/shm'
const ENOUGH_BYTES = 2 ** 30

/** An empty folder that goes with the test, in memory where there is room: writes that wait for a disk take most of the tests' time. */
export function temporaryFolder(t: Pick<Test, 'teardown'>): string {
  const folder = makeFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The same, for the caller to remove. */
export const makeFolder = (): string =>
  mkdtempSync(join(hasMemory ? MEMORY : tmpdir(), 'ellipsis-broker-test-'))

const hasMemory = process.platform === 'linux' && freeBytes(MEMORY) > ENOUGH_BYTES

function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return 0
  }
}
