import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { PROGRAM, PROGRAM_ENV } from './program.ts'

/** The user that a process runs as; only root can choose. */
interface User {
  uid: number
  gid: number
}

/** Starts the program in a child process with that environment. */
export function runCli(
  args: string[],
  env: Record<string, string>,
  cwd?: string,
  user?: User,
  program = PROGRAM,
): ChildProcess {
  return spawn(process.execPath, ['--', program, ...args], {
    env: { ...PROGRAM_ENV, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
    ...user,
  })
}

/** Runs a command in a child process to its end. */
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

/** A broker in a child process. */
interface BrokerProcess {
  /** Where it listens. The public URL is that of the environment. */
  url: string
  child: ChildProcess
  /** Its output so far. */
  output: () => string
  /** Stops it with SIGTERM. Returns the exit code. */
  stop(): Promise<number | null>
}

/** Starts `serve` on a free port and waits until it is ready. It is stopped after the test. */
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

/** Waits until a broker process listens. Returns its URL. */
export const listening = async (child: ChildProcess): Promise<string> =>
  (await waitForOutput(child, /"listening":"([^"]+)"/)).match[1] ?? ''

/**
 * Waits until the output of a process matches. Returns the match and the output so far.
 * @throws Error with the output if the process ends first
 */
export function waitForOutput(
  child: ChildProcess,
  pattern: RegExp,
): Promise<{ match: RegExpExecArray; output: string }> {
  let output = ''
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        output += chunk.toString()
        const match = pattern.exec(output)
        if (match) resolve({ match, output })
      })
    }
    child.once('error', reject)
    child.once('close', () => reject(new Error(`The process ended. Its output:\n${output}`)))
  })
}
