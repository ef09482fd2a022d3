import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import { Writable } from 'node:stream'
import { UsageError } from './output.ts'

/** Questions on the terminal. They go to standard error: standard output is for results. */

/** Asks; an empty answer is `usual`. @throws UsageError if the input ends instead (Ctrl-D, Ctrl-C) */
export async function ask(question: string, usual = ''): Promise<string> {
  const line = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await answered(line, `${question}${usual === '' ? '' : ` [${usual}]`}: `)
  return answer.trim() || usual
}

/** Asks without showing what is typed. @throws UsageError as `ask` does */
export async function askHidden(question: string): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const line = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  // Echo is off before the question appears, so that an immediate answer is hidden too.
  process.stderr.write(question)
  return answered(line, '').finally(() => process.stderr.write('\n'))
}

function answered(line: Interface, question: string): Promise<string> {
  return new Promise((resolve, reject) => {
    line.on('close', () => reject(new UsageError('\nNo answer was given: nothing more was done.')))
    line.question(question, (answer) => {
      resolve(answer)
      line.close()
    })
  })
}
