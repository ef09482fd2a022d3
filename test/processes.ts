import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { PROGRAM, PROGRAM_ENV } from './program.ts'

/** As whom a process runs; only root can choose. */
interface User {
  uid: number
  gid: number
}

/** The command line in a process of its own, with an environment of its own. */
export function runCli(
  args: string[],
  env: Record<string, string>,
  cwd?: string,
  user?: User,
  program = PROGRAM,
): ChildProcess {
  return spawn(process.execPath, [program, ...args], {
    env: { ...PROGRAM_ENV, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
    ...user,
  })
}

/** Resolves once a process has logged that; rejects if it ends before. */
export function logged(child: ChildProcess, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = ''
    const read = (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes(what)) resolve()
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('close', () => reject(new Error(`it ended:\n${output}`)))
  })
}

/** Runs a command to its end. */
export async function cli(args: string[], env: Record<string, string>, input = '', user?: User) {
  const child = runCli(args, env, undefined, user)
  child.stdin?.end(input)
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout: stdout(), stderr: stderr() }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = ''
  stream?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  return () => text
}

/** A broker in a process of its own. */
export interface BrokerProcess {
  /** Where it listens; its public URL is the one of the environment. */
  url: string
  child: ChildProcess
  /** What it has logged. */
  output: () => string
  /** Ends it as an operator does; answers the exit code. */
  stop(): Promise<number | null>
}

/** Starts `serve` on a port that the system chooses, and waits until it is ready. It ends with the test. */
export async function serve(
  t: Test,
  env: Record<string, string>,
  program = PROGRAM,
): Promise<BrokerProcess> {
  const publicUrl = { BROKER_PUBLIC_URL: 'http://127.0.0.1:3000' }
  const settings = { ...publicUrl, ...env, BROKER_PORT: '0' }
  const child = runCli(['serve'], settings, undefined, undefined, program)
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  const output = () => stdout() + stderr()
  const closed = once(child, 'close')
  const stop = async () => {
    child.kill('SIGTERM')
    await closed
    return child.exitCode
  }
  t.teardown(stop)
  const url = await listening(child)
  return { url, child, output, stop }
}

/** Where a process says that it listens, once it does. */
export const listening = async (child: ChildProcess): Promise<string> =>
  (await untilSaid(child, /"listening":"([^"]+)"/)).match[1] ?? ''

/**
 * Waits until a process has written what matches; answers it, and all that it has written by then.
 * @throws Error with what it has written if it ends without
 */
export function untilSaid(
  child: ChildProcess,
  words: RegExp,
): Promise<{ match: RegExpExecArray; output: string }> {
  let output = ''
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        output += chunk.toString()
        const match = words.exec(output)
        if (match) resolve({ match, output })
      })
    }
    child.once('error', reject)
    child.once('close', () => reject(new Error(`It has ended, and said:\n${output}`)))
  })
}
