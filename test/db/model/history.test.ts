/**
 * Random histories of calls on each engine, compared with the reference. Other histories: `SEED=2`.
 */
import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import type { Store } from '../../../db/store.ts'
import { size } from '../../size.ts'
import { noPostgres } from '../../postgres.ts'
import { openTemporary as openPostgres } from '../postgres/temporary.ts'
import { openTemporary } from '../temporary.ts'
import { history } from './commands.ts'
import type { Step } from './commands.ts'
import { runHistory } from './run.ts'
import { shrink } from './shrink.ts'

const engines: {
  name: string
  skip: string | false
  histories: number
  /** Opens an empty store, and closes it when the history ends. */
  open: (t: Pick<Test, 'teardown'>) => Promise<Store>
}[] = [
  {
    name: 'SQLite',
    skip: false,
    histories: size(10, 60),
    open: async (t) => (await openTemporary(t)).store,
  },
  {
    name: 'PostgreSQL',
    skip: noPostgres,
    histories: size(4, 12),
    open: async (t) => (await openPostgres(t)).store,
  },
]

const MAX_STEPS = 600

for (const { name, skip, histories, open } of engines) {
  const run = async (steps: Step[]): Promise<number> => {
    const teardowns: (() => unknown)[] = []
    try {
      return await runHistory(await open({ teardown: (end) => void teardowns.push(end) }), steps)
    } finally {
      for (const end of teardowns.reverse()) await end()
    }
  }
  const whyItFails = (steps: Step[]): Promise<string | null> =>
    run(steps).then(
      () => null,
      (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error)),
    )

  const title = `${name} answers as the contract says, in ${histories} histories`
  t.test(title, { skip }, async (t) => {
    let calls = 0
    const property = fc.asyncProperty(history(MAX_STEPS), async (steps) => {
      calls += await run(steps)
    })
    const { counterexample, seed, errorInstance } = await fc.check(property, {
      ...{ numRuns: histories, endOnFailure: true, seed: Number(process.env.SEED ?? 1) },
    })
    t.comment(`${calls} calls`)
    if (counterexample === null) return
    const steps = await shrink(
      counterexample[0],
      async (steps) => (await whyItFails(steps)) !== null,
    )
    const why = (await whyItFails(steps)) ?? `Not always: ${inspect(errorInstance)}`
    t.fail(`SEED=${seed}: ${why}`)
  })
}
