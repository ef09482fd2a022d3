import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

/** Questions on the terminal. They go to standard error: standard output is for results. */

/** Asks; an empty answer is `usual`. */
export async function ask(question: string, usual = ''): Promise<string> {
  const line = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await line.question(`${question}${usual === '' ? '' : ` [${usual}]`}: `)
    return answer.trim() || usual
  } finally {
    line.close()
  }
}

/** Asks without showing what is typed. */
export async function askHidden(question: string): Promise<string> {
  process.stderr.write(question)
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const line = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  try {
    return await line.question('')
  } finally {
    line.close()
    process.stderr.write('\n')
  }
}
