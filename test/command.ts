import { AsyncLocalStorage } from 'node:async_hooks'
import { Readable } from 'node:stream'
import { run } from '../server/cli/program.ts'

interface Output {
  stdout: string
  stderr: string
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
    return true
  }
}

/**
 * Runs a command to its end in this process, with an environment, an input and a working directory of its
 * own: much faster than `cli` (processes.ts), which is for where processes matter. One at a time.
 */
export async function command(
  args: string[],
  env: Record<string, string>,
  input = '',
  cwd = process.cwd(),
) {
  const before = { env: process.env, stdin: process.stdin, cwd: process.cwd() }
  const put = (values: { env: NodeJS.ProcessEnv; stdin: NodeJS.ReadableStream; cwd: string }) => {
    process.env = values.env
    Object.defineProperty(process, 'stdin', { value: values.stdin, configurable: true })
    process.chdir(values.cwd)
  }
  put({ env: { ...env }, stdin: Readable.from([Buffer.from(input)]), cwd })
  const output: Output = { stdout: '', stderr: '' }
  try {
    const code = await outputs.run(output, () => run(args))
    return { code, ...output }
  } finally {
    put(before)
  }
}
