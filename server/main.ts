import { run } from './cli/program.ts'
import { guardOutput, outputProblem } from './cli/output.ts'

guardOutput()
process.exitCode = await run(process.argv.slice(2))
// Errors of the last writes arrive before the next turn of the event loop.
await new Promise(setImmediate)
const problem = outputProblem()
if (problem !== null) {
  process.stderr.write(`${problem}\n`)
  process.exitCode ||= 1
}
