/**
 * Random histories of calls on each engine, compared with the reference. Other histories: `SEED=2`; more of them:
 * `MODEL_STEPS=100000`, steps for each engine. A failure names the seed of its history.
 */
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import type { Store } from '../../../db/store.ts'
import { size } from '../../size.ts'
import { noPostgres, query } from '../../postgres.ts'
import { openTemporary as openPostgres } from '../postgres/temporary.ts'
import { openTemporary } from '../temporary.ts'
import { history } from './commands.ts'
import type { Step } from './commands.ts'
import { openReference } from './reference.ts'
import { emptyTables } from './reference/tables.ts'
import { runHistory } from './run.ts'
import { shrink } from './shrink.ts'

type Scope = Pick<Test, 'teardown'>

/** All but the names of the migrations, which fill no other table. */
const EMPTY = `do $$ begin
  execute (select 'truncate ' || string_agg(quote_ident(tablename), ', ') || ' restart identity' from pg_tables
    where schemaname = 'public' and tablename <> 'migrations');
end $$`

const engines: {
  name: string
  skip: string | false
  steps: number
  /** For a test: returns what opens an empty store for a history, until that ends. */
  prepare: (t: Scope) => Promise<(history: Scope) => Promise<Store>>
}[] = [
  {
    name: 'SQLite',
    skip: false,
    steps: size(3000, 25_000),
    prepare: () => Promise.resolve(async (history) => (await openTemporary(history)).store),
  },
  {
    name: 'PostgreSQL',
    skip: noPostgres,
    steps: size(1000, 6000),
    prepare: async (t) => {
      const { store, url } = await openPostgres(t)
      return async () => {
        await query(url, EMPTY)
        return store
      }
    },
  },
]

/** Notes which methods of a store are called. */
const noteCalls = (store: Store, called: Set<string | symbol>): Store =>
  new Proxy(store, {
    get(target, name, receiver) {
      called.add(name)
      return Reflect.get(target, name, receiver) as unknown
    },
  })

const MAX_STEPS = 600
/** In as many steps every method is called. */
const ENOUGH_STEPS = 1000
const FIRST_SEED = Number(process.env.SEED ?? 1)
if (process.env.MODEL_STEPS !== undefined) t.setTimeout(0)

for (const { name, skip, steps: defaultSteps, prepare } of engines) {
  const steps = Number(process.env.MODEL_STEPS ?? defaultSteps)
  const title = `${name} answers as the contract says, in ${steps} steps`
  t.test(title, { skip }, async (t) => {
    const open = await prepare(t)
    const called = new Set<string | symbol>()
    /** Why a history fails; `null`: it does not. */
    const run = async (history: Step[]): Promise<string | null> => {
      const teardowns: (() => unknown)[] = []
      try {
        const store = await open({ teardown: (end) => void teardowns.push(end) })
        await runHistory(noteCalls(store, called), history)
        return null
      } catch (error) {
        return error instanceof Error ? (error.stack ?? error.message) : String(error)
      } finally {
        for (const end of teardowns.reverse()) await end()
      }
    }
    let [done, seed] = [0, FIRST_SEED]
    for (; done < steps; seed++) {
      const [steps = []] = fc.sample(history(MAX_STEPS), { numRuns: 1, seed })
      const why = await run(steps)
      done += steps.length
      if (why === null) continue
      const shortest = await shrink(steps, async (steps) => (await run(steps)) !== null)
      t.fail(`SEED=${seed}: ${(await run(shortest)) ?? `Not always: ${why}`}`)
      return
    }
    t.pass(`${done} steps in ${seed - FIRST_SEED} histories`)
    if (done < ENOUGH_STEPS) return
    const methods = Object.keys(openReference(emptyTables()))
    t.same(
      methods.filter((method) => !called.has(method)),
      [],
      'every method of the contract was called',
    )
  })
}
