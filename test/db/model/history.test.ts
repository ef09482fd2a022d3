/**
 * Random histories of calls on each engine, compared with the reference. `SEED=1` repeats one that failed.
 */
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import type { Store } from '../../../db/store.ts'
import { size } from '../../size.ts'
import { openTemporary } from '../temporary.ts'
import { history } from './commands.ts'
import type { Step } from './commands.ts'
import { runHistory } from './run.ts'

/** Opens an empty store, and closes it when the history ends. */
const engines: { name: string; open: (t: Pick<Test, 'teardown'>) => Promise<Store> }[] = [
  { name: 'SQLite', open: async (t) => (await openTemporary(t)).store },
]

const MAX_STEPS = 300
const HISTORIES = size(20, 900)

for (const { name, open } of engines) {
  const run = async (steps: Step[]): Promise<number> => {
    const teardowns: (() => unknown)[] = []
    try {
      return await runHistory(await open({ teardown: (end) => void teardowns.push(end) }), steps)
    } finally {
      for (const end of teardowns.reverse()) await end()
    }
  }

  t.test(`${name} answers as the contract says, in ${HISTORIES} histories`, async (t) => {
    let calls = 0
    const property = fc.asyncProperty(history(MAX_STEPS), async (steps) => {
      calls += await run(steps)
    })
    const seed = process.env.SEED === undefined ? {} : { seed: Number(process.env.SEED) }
    const result = await fc.check(property, { numRuns: HISTORIES, ...seed })
    t.comment(`${calls} calls`)
    if (result.failed)
      t.fail(`SEED=${result.seed}: ${(result.errorInstance as Error | null)?.message ?? ''}`)
  })
}
