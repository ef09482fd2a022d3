import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { redact } from '../log.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime.ts'
import { createSemaphore } from '../semaphore.ts'

/** A program that runs longer is killed, with the processes that it started. */
export const PROGRAM_TIME_LIMIT_MS = 30_000
export const MAX_PROGRAMS = 4
/** What is logged of the output of a program that failed. */
const MAX_OUTPUT_BYTES = 1024

/**
 * Delivers events to a program (`BROKER_ON_EVENT`): one process for each event, which reads the event as JSON
 * from its standard input. Exit code 0 means delivered. At most `MAX_PROGRAMS` run at a time; the others wait.
 * @param environment all variables that the program gets
 */
export function createCommandSink({
  program,
  environment,
  clock,
  log,
}: {
  program: string
  environment: Record<string, string>
  clock: Clock
  log: Log
}) {
  const slots = createSemaphore(MAX_PROGRAMS)

  return {
    /** Runs the program. Returns why the event is not delivered; `null`: it is. Never throws. */
    async deliver({ id, body }: { id: string; body: string }) {
      const release = await slots.acquire()
      try {
        const { problem, output } = await run(program, environment, body, clock).catch(
          (error: unknown) => ({ problem: startProblem(error), output: '' }),
        )
        if (problem !== null) {
          log.warn({ program, event: id, problem, output }, 'the program for events failed')
        }
        return { status: null, error: problem }
      } finally {
        release()
      }
    },
  }
}

async function run(
  program: string,
  environment: Record<string, string>,
  body: string,
  clock: Clock,
): Promise<{ problem: string | null; output: string }> {
  // In a process group of its own, so that all of it can be killed.
  const child = spawn(program, [], { env: environment, detached: true })
  child.on('error', () => undefined)
  const output = readOutput(child)
  // A program may exit without reading its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(body)
  const limit = new AbortController()
  const timeout = clock.sleep(PROGRAM_TIME_LIMIT_MS, limit.signal)
  try {
    const problem = await Promise.race([ended(child), timeout.then(() => 'time')])
    if (problem !== 'time') return { problem, output: output() }
    killGroup(child)
    const seconds = PROGRAM_TIME_LIMIT_MS / 1000
    return { problem: `still running after ${seconds} seconds`, output: output() }
  } finally {
    limit.abort()
    // What the program left running in the background keeps no pipe of the broker.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
  }
}

const startProblem = (error: unknown): string =>
  `can’t be started (${(error as NodeJS.ErrnoException).code})`

/**
 * How a process failed; `null`: it did not. A failed one's output is read to its end.
 * @throws Error if the program can't be started
 */
async function ended(child: ChildProcessWithoutNullStreams): Promise<string | null> {
  const closed = once(child, 'close')
  closed.catch(() => undefined)
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  if (code === 0) return null
  await closed
  return code === null ? `killed by ${signal}` : `exit code ${code}`
}

function readOutput({ stdout, stderr }: ChildProcessWithoutNullStreams): () => string {
  const chunks: Buffer[] = []
  let length = 0
  for (const stream of [stdout, stderr]) {
    stream.on('data', (chunk: Buffer) => {
      if (length < MAX_OUTPUT_BYTES) chunks.push(chunk.subarray(0, MAX_OUTPUT_BYTES - length))
      length += chunk.length
    })
  }
  return () => redact(Buffer.concat(chunks).toString().trim())
}

function killGroup({ pid }: ChildProcessWithoutNullStreams): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It has just ended.
  }
}
