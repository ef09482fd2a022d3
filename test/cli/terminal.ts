import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'

/**
 * Runs a command on a pseudo-terminal (`script` of util-linux) and answers its questions in order.
 * @param answers part of each question, and the answer to type
 */
export async function onTerminal(
  args: string[],
  answers: [question: string, answer: string][],
  options: { cwd: string; env: Record<string, string> },
) {
  const line = [process.execPath, '--', PROGRAM, ...args].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    cwd: options.cwd,
    env: { ...PROGRAM_ENV, TERM: 'dumb', ...options.env },
  })
  const closed = once(child, 'close')
  let output = ''
  let seen = 0
  const remaining = [...answers]
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      const [question, answer] = remaining[0] ?? []
      if (question === undefined || !output.slice(seen).includes(question)) return
      seen = output.length
      remaining.shift()
      child.stdin.write(`${answer}\r`)
    })
  }
  await closed
  return { code: child.exitCode, output }
}
