import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

const MEMORY_FOLDER = '/dev/shm'
const MIN_FREE_BYTES = 2 ** 30

/**
 * An empty folder that is removed after the test. In memory if there is room, because waiting for disk writes
 * would take most of the tests' time.
 */
export function temporaryFolder(t: Pick<Test, 'teardown'>): string {
  const folder = makeFolder()
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** An empty folder that the caller removes. */
export const makeFolder = (): string =>
  mkdtempSync(join(hasMemory ? MEMORY_FOLDER : tmpdir(), 'ellipsis-broker-test-'))

const hasMemory = process.platform === 'linux' && freeBytes(MEMORY_FOLDER) > MIN_FREE_BYTES

function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return 0
  }
}
