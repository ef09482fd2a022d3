import { AsyncLocalStorage } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { PassThrough } from 'node:stream'
import { run } from '../server/cli/program.ts'

// `backup` and `doctor` lower the priority of their process. Here that would be the whole suite's, for good.
os.setPriority = () => undefined
syncBuiltinESMExports()

/** A person at a terminal: what they type when the command has said something; `undefined`: nothing. */
type Person = (said: string) => string | undefined | void

interface Output {
  stdout: string
  stderr: string
  tell(said: string): void
}

/** What is written within a command is its output; all else, such as the test's report, goes its way. */
const outputs = new AsyncLocalStorage<Output>()

for (const name of ['stdout', 'stderr'] as const) {
  const stream = process[name]
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean
  stream.write = (...args: unknown[]) => {
    const output = outputs.getStore()
    if (!output) return write(...args)
    output[name] += String(args[0])
    // What the person does is not the command's.
    outputs.exit(() => output.tell(String(args[0])))
    return true
  }
}

/**
 * Runs a command to its end in this process, with an environment, an input and a working directory of its
 * own: much faster than `cli` (processes.ts), which is for where processes matter. One at a time.
 * @param input what standard input has, or who sits at the terminal
 */
export async function command(
  args: string[],
  env: Record<string, string>,
  input: string | Person = '',
  cwd = process.cwd(),
) {
  const stdin = Object.assign(new PassThrough(), { isTTY: typeof input === 'function' })
  if (typeof input === 'string') stdin.end(input)
  const output: Output = {
    stdout: '',
    stderr: '',
    tell(said) {
      const typed = typeof input === 'function' ? input(said) : undefined
      if (typed !== undefined) setImmediate(() => stdin.write(`${typed}\n`))
    },
  }
  const before = { env: process.env, stdin: process.stdin, cwd: process.cwd() }
  const put = (values: { env: NodeJS.ProcessEnv; stdin: NodeJS.ReadableStream; cwd: string }) => {
    process.env = values.env
    Object.defineProperty(process, 'stdin', { value: values.stdin, configurable: true })
    process.chdir(values.cwd)
  }
  put({ env: { ...env }, stdin, cwd })
  try {
    const code = await outputs.run(output, () => run(args))
    return { code, stdout: output.stdout, stderr: output.stderr }
  } finally {
    put(before)
  }
}

/** Answers questions, each by its own words. */
export const answering =
  (answers: Record<string, string>): Person =>
  (said) =>
    Object.entries(answers).find(([question]) => said.startsWith(question))?.[1]
