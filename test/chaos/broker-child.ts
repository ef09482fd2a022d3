/** A broker in a child process that can be made to fail at named points. Receives orders from its parent. */
import { appendFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import type { Store } from '../../db/store.ts'
import { listen } from '../../server/cli/serve.ts'
import { loadConfig, readEnvironment } from '../../server/config/config.ts'
import { openData } from '../../server/data/open-data.ts'
import { createLog } from '../../server/log.ts'
import { compose } from '../../server/services.ts'
import { runtime } from '../../server/runtime.ts'
import { recordReceived, recordSaved } from './answers.ts'
import type { RefreshPoint, Order } from './broker.ts'

let killPoint: RefreshPoint | null = null
let [clockOffsetMs, readOnlyUntil] = [0, 0]

function reach(point: RefreshPoint): void {
  if (killPoint === point) process.kill(process.pid, 'SIGKILL')
}

const fetchWithKillPoints: typeof fetch = async (input, init) => {
  const isToken = String(input instanceof Request ? input.url : input).endsWith('/oauth/token')
  if (!isToken) return fetch(input, init)
  reach('before the call')
  const response = await fetch(input, init)
  const body = await response.text()
  const sent = new URLSearchParams(init?.body as string).get('refresh_token')
  if (sent !== null && hasNewToken(body)) recordReceived(answersFile, sent)
  reach('after the answer')
  return new Response(body, { status: response.status, headers: response.headers })
}

function hasNewToken(body: string): boolean {
  try {
    return 'refresh_token' in (JSON.parse(body) as object)
  } catch {
    return false
  }
}

/** The store with kill points. While it is read-only, every method that may write fails. */
function wrapStore(store: Store): Store {
  const isRead = /^(get|find|list|has|is|count)/
  const wrapped = Object.entries(store).map(([name, method]) => {
    const call = method as (...args: unknown[]) => Promise<unknown>
    return [
      name,
      async (...args: unknown[]) => {
        if (Date.now() < readOnlyUntil && !isRead.test(name)) {
          const message = 'attempt to write a readonly database'
          throw Object.assign(new Error(message), { code: 'SQLITE_READONLY' })
        }
        if (name !== 'saveTokens') return call(...args)
        reach('before the commit')
        const saved = await call(...args)
        const [{ id, expectedGeneration }] = args as Parameters<Store['saveTokens']>
        if (saved === true) recordSaved(answersFile, id, expectedGeneration + 1)
        reach('after it')
        return saved
      },
    ]
  })
  return Object.fromEntries(wrapped)
}

process.on('message', (order: Order) => {
  if ('killAt' in order) killPoint = order.killAt
  else if ('moveClockMs' in order) clockOffsetMs += order.moveClockMs
  else readOnlyUntil = Date.now() + order.readOnlyMs
})
process.on('disconnect', () => process.exit(0))

const config = loadConfig(readEnvironment(), { serve: true })
const { CHAOS_LOG: file = '', CHAOS_ANSWERS: answersFile = '' } = process.env
const log = createLog(config, { write: (line: string) => appendFileSync(file, line) })
process.on('uncaughtException', (error) => {
  log.fatal(error)
  process.exit(1)
})
const chaosRuntime = {
  ...runtime,
  clock: { ...runtime.clock, now: () => Date.now() + clockOffsetMs },
  fetch: fetchWithKillPoints,
}
const data = await openData(config, chaosRuntime, { claim: 'same' })
await listen(compose(config, log, { ...data, store: wrapStore(data.store) }, chaosRuntime))
process.send?.('ready')
flushCompileCache()
