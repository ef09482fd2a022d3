import { AsyncLocalStorage } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { PassThrough } from 'node:stream'
import { run } from '../server/cli/program.ts'

// `backup` and `doctor` lower the priority of their process, which here would be the whole suite's.
os.setPriority = () => undefined
syncBuiltinESMExports()

/** Simulates a user at a terminal: what they type after that output; `undefined`: nothing. */
type TerminalUser = (printed: string) => string | undefined | void

interface Output {
  stdout: string
  stderr: string
  onPrint(printed: string): void
}

/** Captures what is written during a command. Other output, such as the test report, is not captured. */
const outputs = new AsyncLocalStorage<Output>()

for (const name of ['stdout', 'stderr'] as const) {
  const stream = process[name]
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean
  stream.write = (...args: unknown[]) => {
    const output = outputs.getStore()
    if (!output) return write(...args)
    output[name] += String(args[0])
    // What the user does is not part of the command.
    outputs.exit(() => output.onPrint(String(args[0])))
    return true
  }
}

/**
 * Runs a command to its end in this process. Much faster than `cli` (processes.ts), which is for tests that need a
 * process. Only one command can run at a time.
 * @param input text for standard input, or a simulated user at a terminal
 */
export async function command(
  args: string[],
  env: Record<string, string>,
  input: string | TerminalUser = '',
  cwd = process.cwd(),
) {
  const stdin = Object.assign(new PassThrough(), { isTTY: typeof input === 'function' })
  if (typeof input === 'string') stdin.end(input)
  const output: Output = {
    stdout: '',
    stderr: '',
    onPrint(printed) {
      const typed = typeof input === 'function' ? input(printed) : undefined
      if (typed !== undefined) setImmediate(() => stdin.write(`${typed}\n`))
    },
  }
  const before = { env: process.env, stdin: process.stdin, cwd: process.cwd() }
  const apply = (values: { env: NodeJS.ProcessEnv; stdin: NodeJS.ReadableStream; cwd: string }) => {
    process.env = values.env
    Object.defineProperty(process, 'stdin', { value: values.stdin, configurable: true })
    process.chdir(values.cwd)
  }
  apply({ env: { ...env }, stdin, cwd })
  try {
    const code = await outputs.run(output, () => run(args))
    return { code, stdout: output.stdout, stderr: output.stderr }
  } finally {
    apply(before)
  }
}

/** A user who answers questions, each given by its beginning. */
export const answering =
  (answers: Record<string, string>): TerminalUser =>
  (printed) =>
    Object.entries(answers).find(([question]) => printed.startsWith(question))?.[1]
