import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { COMMAND_SINK_ID } from '../../db/event-types.ts'
import { redact } from '../log.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime.ts'
import { createSemaphore } from '../semaphore.ts'
import type { Message } from './message.ts'
import type { Attempt, EventSink } from './sink.ts'

/** A program that runs longer is killed, with the processes that it started. */
export const PROGRAM_TIME_LIMIT_MS = 30_000
export const MAX_PROGRAMS = 4
/** What is logged of the output of a program that failed. */
const MAX_OUTPUT_BYTES = 1024

interface Options {
  /** Its absolute path. */
  program: string
  /** All variables that it gets. */
  environment: Record<string, string>
  clock: Clock
  log: Log
}

/**
 * Delivers events to a program (`BROKER_ON_EVENT`): one process for each event, which reads the event as JSON
 * from its standard input. Exit code 0 means delivered. At most `MAX_PROGRAMS` run at a time; the others wait.
 */
export function createCommandSink({ program, environment, clock, log }: Options): EventSink {
  const slots = createSemaphore(MAX_PROGRAMS)

  return {
    id: COMMAND_SINK_ID,
    appId: null,
    afterEventId: 0,
    types: [],
    async deliver(message, signal) {
      const release = await slots.acquire()
      try {
        const { output, ...attempt } = await run(message, signal)
        if (attempt.error !== null) {
          const details = { program, event: message.id, problem: attempt.error, output }
          log.warn(details, 'the program of BROKER_ON_EVENT failed')
        }
        return attempt
      } finally {
        release()
      }
    },
  }

  async function run(message: Message, signal: AbortSignal): Promise<Attempt & { output: string }> {
    const limit = new AbortController()
    const ended = AbortSignal.any([limit.signal, signal])
    try {
      // In a process group of its own, so that all of it can be killed.
      const child = spawn(program, [], { env: environment, detached: true })
      child.on('error', () => undefined)
      // A program may exit without reading its input.
      child.stdin.on('error', () => undefined)
      child.stdin.end(JSON.stringify(message))
      const output = readOutput(child)
      try {
        const timeout = clock.sleep(PROGRAM_TIME_LIMIT_MS, ended).then(() => TOO_LONG)
        const result = await Promise.race([resultOf(child), timeout])
        if (result === TOO_LONG) killGroup(child)
        return { ...result, output: output() }
      } finally {
        // What the program left running in the background keeps no pipe of the broker.
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      return { ...failed(`can’t be started (${code})`), output: '' }
    } finally {
      limit.abort()
    }
  }
}

const failed = (error: string, answer: number | null = null): Attempt => ({
  outcome: 'failed',
  answer,
  error,
})

/** Also when the broker stops: the event is delivered again after the next start. */
const TOO_LONG = failed(`killed: it took longer than ${PROGRAM_TIME_LIMIT_MS / 1000} seconds`)

/**
 * How a process ended. The output of one that failed is read to its end.
 * @throws Error if the program can't be started
 */
async function resultOf(child: ChildProcessWithoutNullStreams): Promise<Attempt> {
  const closed = once(child, 'close')
  closed.catch(() => undefined)
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  if (code === 0) return { outcome: 'delivered', answer: 0, error: null }
  await closed
  return code === null ? failed(`killed by ${signal}`) : failed(`exit code ${code}`, code)
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
