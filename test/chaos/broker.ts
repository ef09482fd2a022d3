/**
 * A broker in a process of its own, put together here so that it can be made to fail at named points. Takes
 * orders from its parent (orders.ts).
 */
import { appendFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import type { Store } from '../../db/store.ts'
import { listen } from '../../server/cli/serve.ts'
import { loadConfig, readEnvironment } from '../../server/config/config.ts'
import { openData } from '../../server/data/open-data.ts'
import { createLog } from '../../server/log.ts'
import { compose } from '../../server/services.ts'
import { runtime } from '../../server/runtime.ts'
import type { Order, Point } from './orders.ts'

let dieAt: Point | null = null
let [offset, readOnlyUntil] = [0, 0]

function pass(point: Point): void {
  if (dieAt === point) process.kill(process.pid, 'SIGKILL')
}

const fetchAndPass: typeof fetch = async (input, init) => {
  const isToken = String(input instanceof Request ? input.url : input).endsWith('/oauth/token')
  if (!isToken) return fetch(input, init)
  pass('before the call')
  const answer = await fetch(input, init)
  const body = await answer.text()
  pass('after the answer')
  return new Response(body, { status: answer.status, headers: answer.headers })
}

/** The store, with its points; while it is read-only, every method that isn't a question fails. */
function wrap(store: Store): Store {
  const asks = /^(get|find|list|has|is|count)/
  const wrapped = Object.entries(store).map(([name, method]) => {
    const work = method as (...args: unknown[]) => Promise<unknown>
    return [
      name,
      async (...args: unknown[]) => {
        if (Date.now() < readOnlyUntil && !asks.test(name)) {
          const message = 'attempt to write a readonly database'
          throw Object.assign(new Error(message), { code: 'SQLITE_READONLY' })
        }
        if (name !== 'saveTokens') return work(...args)
        pass('before the commit')
        const saved = await work(...args)
        pass('after it')
        return saved
      },
    ]
  })
  return Object.fromEntries(wrapped)
}

process.on('message', (order: Order) => {
  if ('die' in order) dieAt = order.die
  else if ('jump' in order) offset += order.jump
  else readOnlyUntil = Date.now() + order.readOnly
})
process.on('disconnect', () => process.exit(0))

const config = loadConfig(readEnvironment(), { serve: true })
const file = process.env.CHAOS_LOG ?? ''
const log = createLog(config, { write: (line: string) => appendFileSync(file, line) })
process.on('uncaughtException', (error) => {
  log.fatal(error)
  process.exit(1)
})
const given = {
  ...runtime,
  clock: { ...runtime.clock, now: () => Date.now() + offset },
  fetch: fetchAndPass,
}
const data = await openData(config, given, { claim: 'same' })
await listen(compose(config, log, { ...data, store: wrap(data.store) }, given))
process.send?.('ready')
flushCompileCache()
