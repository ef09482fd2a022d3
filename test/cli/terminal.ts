import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'

/**
 * Runs a command on a terminal of its own (script, of util-linux), and answers its questions in turn.
 * @param answers a piece of each question, and what is typed then
 */
export async function onTerminal(
  args: string[],
  answers: [question: string, answer: string][],
  options: { cwd: string; env: Record<string, string> },
) {
  const line = [process.execPath, PROGRAM, ...args].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    cwd: options.cwd,
    env: { ...PROGRAM_ENV, TERM: 'dumb', ...options.env },
  })
  const closed = once(child, 'close')
  let output = ''
  let seen = 0
  const left = [...answers]
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      const [question, answer] = left[0] ?? []
      if (question === undefined || !output.slice(seen).includes(question)) return
      seen = output.length
      left.shift()
      child.stdin.write(`${answer}\r`)
    })
  }
  await closed
  return { code: child.exitCode, output }
}
