import t from 'tap'
import type { Test } from 'tap'
import type { App } from '../../db/store.ts'
import { BrokerError } from '../../server/errors.ts'
import { createDriveBudget } from '../../server/drive/budget.ts'
import { addApp, buildBroker, connect, scrape } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { openDashboard, textOf } from '../http/routes/admin/dashboard.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** Takes `count` requests; returns how many were allowed, and the refusal. */
function take(
  budget: TestBroker['services']['driveBudget'],
  app: App,
  { count = 1, connection = 'con_a' } = {},
) {
  let refusal: BrokerError | null = null
  let allowed = 0
  for (let at = 0; at < count; at++) {
    try {
      budget.take(app, connection)
      allowed++
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      refusal = error
    }
  }
  return { allowed, code: refusal?.code, ...refusal?.details }
}

/** A broker whose clock stands at the beginning of a day. */
async function build(t: Test, env: Record<string, string> = {}) {
  const broker = await buildBroker(t, { env })
  const { clock } = broker
  clock.stop()
  clock.advance(DAY - (clock.now() % DAY))
  return broker
}

t.test('without limits, nothing is counted', async (t) => {
  const { services, logged, ...broker } = await build(t)
  const app = await addApp({ services, logged, ...broker })
  t.match(take(services.driveBudget, app, { count: 10_000 }), { allowed: 10_000 })
  t.strictSame(await services.driveBudget.use(app), [])
  t.strictSame(await services.driveBudget.use({ connectionId: 'con_a' }), [])
})

t.test('an app’s requests of all users count together, within fixed windows', async (t) => {
  const broker = await build(t)
  const { services, clock } = broker
  const { driveBudget } = services
  const app = await addApp(broker, { requestsPerMinute: 5, requestsPerDay: 12 })
  const other = await addApp(broker, { requestsPerMinute: 5 })
  clock.advance(20_500)
  t.match(take(driveBudget, app, { count: 3 }), { allowed: 3 })
  t.match(take(driveBudget, app, { count: 4, connection: 'con_b' }), {
    allowed: 2,
    code: 'slow_down',
    reason: 'app_minute_budget_used',
    retryAfter: 40,
    isGuess: false,
    description: /This app has used its budget of 5 requests per minute/,
  })
  t.match(take(driveBudget, other, { count: 9 }), { allowed: 5 })
  clock.advance(39_499)
  t.match(take(driveBudget, app), { allowed: 0, retryAfter: 1 })
  clock.advance(1)
  t.match(take(driveBudget, app, { count: 9 }), { allowed: 5 })
  clock.advance(MINUTE)
  t.match(take(driveBudget, app, { count: 9 }), {
    allowed: 2,
    reason: 'app_day_budget_used',
    retryAfter: (DAY - 2 * MINUTE) / 1000,
  })
  await driveBudget.flush()
  t.strictSame(await driveBudget.use(app), [
    { window: 'minute', limit: 5, used: 2, refused: 0 },
    { window: 'day', limit: 12, used: 12, refused: 7 },
  ])
  clock.advance(DAY)
  t.match(take(driveBudget, app, { count: 9 }), { allowed: 5 })
})

t.test('each connection has its own limits', async (t) => {
  const broker = await build(t, {
    BROKER_CONNECTION_REQUESTS_PER_MINUTE: '3',
    BROKER_CONNECTION_REQUESTS_PER_DAY: '4',
  })
  const { services, clock } = broker
  const app = await addApp(broker)
  const another = await addApp(broker)
  t.match(take(services.driveBudget, app, { count: 2 }), { allowed: 2 })
  t.match(take(services.driveBudget, another, { count: 2 }), {
    allowed: 1,
    reason: 'connection_minute_budget_used',
  })
  t.match(take(services.driveBudget, app, { connection: 'con_b' }), { allowed: 1 })
  clock.advance(MINUTE)
  t.match(take(services.driveBudget, app, { count: 3 }), {
    allowed: 1,
    reason: 'connection_day_budget_used',
  })
})

t.test('several processes and a restart hold a budget together', async (t) => {
  const broker = await build(t)
  const { clock } = broker
  const { store, log } = broker.services
  const app = await addApp(broker, { requestsPerMinute: 1000, requestsPerDay: 100_000 })
  let writes = 0
  const counted = {
    getCounters: store.getCounters,
    addToCounters: (...args: Parameters<typeof store.addToCounters>) => {
      writes++
      return store.addToCounters(...args)
    },
  }
  const start = () =>
    createDriveBudget({
      ...{ store: counted, clock, log, onRefused: () => undefined },
      limits: { requestsPerMinute: null, requestsPerDay: null },
    })
  const processes = [start(), start(), start(), start()]
  let allowed = 0
  // Each sends 30 a second, and all write once a second.
  for (let second = 0; second < 20; second++) {
    for (const one of processes) allowed += take(one, app, { count: 30 }).allowed
    await Promise.all(processes.map((one) => one.flush()))
    clock.advance(1000)
  }
  t.ok(allowed >= 1000 && allowed <= 1000 + 3 * 30, `${allowed} of 1000 were allowed`)
  t.ok(writes <= 80, `${writes} writes for 2400 requests`)
  const restarted = start()
  take(restarted, app)
  await restarted.flush()
  t.match(take(restarted, app), { allowed: 0 }, 'it knows after its first second')
  t.match(await restarted.use(app), [{ used: allowed + 1 }, { used: allowed + 1 }])
})

t.test('counts that can’t be written are written later', async (t) => {
  const broker = await build(t)
  const { store, clock, log } = broker.services
  const app = await addApp(broker, { requestsPerMinute: 10 })
  let isBroken = true
  const budget = createDriveBudget({
    store: {
      getCounters: store.getCounters,
      addToCounters: async (counters) => {
        if (isBroken) throw new Error('the disk is full')
        return store.addToCounters(counters)
      },
    },
    ...{ clock, log, onRefused: () => undefined },
    limits: { requestsPerMinute: null, requestsPerDay: null },
  })
  t.match(take(budget, app, { count: 4 }), { allowed: 4 })
  await t.rejects(budget.flush(), /disk is full/)
  isBroken = false
  await budget.flush()
  t.match(await budget.use(app), [{ used: 4 }])
  t.match(take(budget, app, { count: 9 }), { allowed: 6 })
})

t.test('requests during a write count once, in the next write', async (t) => {
  const broker = await build(t)
  const { store, clock, log } = broker.services
  const app = await addApp(broker, { requestsPerMinute: 10 })
  let onWrite = (): unknown => undefined
  const budget = createDriveBudget({
    store: {
      getCounters: store.getCounters,
      addToCounters: async (counters) => {
        onWrite()
        return store.addToCounters(counters)
      },
    },
    ...{ clock, log, onRefused: () => undefined },
    limits: { requestsPerMinute: null, requestsPerDay: null },
  })
  take(budget, app, { count: 4 })
  onWrite = () => take(budget, app, { count: 3 })
  await budget.flush()
  onWrite = () => undefined
  t.match(take(budget, app, { count: 9 }), { allowed: 3 })
  await budget.flush()
  t.match(await budget.use(app), [{ used: 10 }])
})

t.test('the dashboard, the metrics and the log show what was refused', async (t) => {
  const broker = await build(t, { BROKER_CONNECTION_REQUESTS_PER_DAY: '2000' })
  const { services, logged } = broker
  const app = await addApp(broker, { requestsPerMinute: 1500, requestsPerDay: 10_000 })
  const { connectionId } = await connect(broker, app)
  take(services.driveBudget, app, { count: 1502, connection: connectionId })
  await services.driveBudget.flush()
  const { look } = await openDashboard(broker)
  const page = textOf(await look(`/apps/${app.id}`))
  t.match(
    page,
    '1,500 of 1,500 requests this minute, 2 refused; 1,500 of 10,000 requests today (UTC)',
  )
  t.match(textOf(await look(`/users/${connectionId}`)), '1,500 of 2,000 requests today (UTC)')
  const plain = await addApp(broker)
  t.notMatch(textOf(await look(`/apps/${plain.id}`)), 'Forwarded requests')
  t.match(await scrape(broker), 'ellipsis_broker_drive_budget_refused_total{limit="app_minute"} 2')
  const lines = logged.filter((line) => line.includes('is used up'))
  t.equal(lines.length, 1, 'once, not for each request')
  t.match(JSON.parse(lines[0] ?? ''), { app: app.id, limit: 1500 })
})
