import { fstatSync, writeSync } from 'node:fs'
import type { Writable } from 'node:stream'

/** The part of a process that its output needs. */
type Outputs = { stdout: Writable; stderr: Writable }

/** What became of the output of this process. */
const state: { failure: NodeJS.ErrnoException | null; isLog: boolean } = {
  failure: null,
  isLog: false,
}

/**
 * Keeps the program alive when its output can't be written, because the reader of a pipe has left or the disk is
 * full: a command completes its work, and a server keeps serving.
 */
export function guardOutput({ stdout, stderr }: Outputs = process): void {
  Object.assign(state, { failure: null, isLog: false })
  stdout.on('error', (error) => (state.failure ??= error))
  stderr.on('error', () => undefined)
}

/** From now on the output is the log of a server. What can't be written is dropped. */
export const treatOutputAsLog = (): void => void (state.isLog = true)

/** Has standard output failed? */
export const hasOutputFailed = (): boolean => state.failure !== null

/**
 * Why the output of a command is incomplete, to be told at its end; `null` if it is complete, or if its reader
 * has left and wants no more.
 */
export function outputProblem(): string | null {
  const { failure, isLog } = state
  if (failure === null || isLog || failure.code === 'EPIPE') return null
  return `The output could not be written: ${failure.message}`
}

/**
 * Where a server writes its log. A file is written directly: a stream would stay closed after the first failure,
 * and the log would be missing after space was freed.
 * @param file descriptor of standard output
 */
export function logOutput(
  file = 1,
  stream: NodeJS.WriteStream = process.stdout,
): { write(line: string): void; isTTY?: boolean } {
  if (!isFile(file)) return stream
  return { write: (line: string) => void tryWrite(file, line) }
}

function isFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile()
  } catch {
    return false
  }
}

function tryWrite(file: number, line: string): void {
  try {
    writeSync(file, line)
  } catch {
    // The line is dropped.
  }
}
