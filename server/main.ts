import { startFaster } from './cli/faster-start.ts'
import { guardOutput, outputProblem } from './cli/output.ts'

startFaster()
guardOutput()
void main()

// A function, because CommonJS, which the single binary consists of, has no `await` outside of one.
async function main(): Promise<void> {
  const { run } = await import('./cli/program.ts')
  process.exitCode = await run(process.argv.slice(2))
  // Errors of the last writes arrive before the next turn of the event loop.
  await new Promise(setImmediate)
  const problem = outputProblem()
  if (problem !== null) {
    process.stderr.write(`${problem}\n`)
    process.exitCode ||= 1
  }
}
