import t from 'tap'
import type { Store } from '../../db/store.ts'
import { createConnections } from '../../server/connections/connections.ts'
import { createSweeper } from '../../server/operate/sweeper.ts'
import { createUsage } from '../../server/connections/usage.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'

const logger = () => {
  const lines: string[] = []
  const log = (_details: object, message: string) => void lines.push(message)
  return { lines, log: { info: log, warn: log, error: log } }
}

/** A store with only these methods. */
const partialStore = (methods: Partial<Store>) => methods as Store

/** A clock whose sleeps return at once. */
const instantClock = () => {
  let now = 1_800_000_000_000
  return {
    now: () => now,
    sleep: async (milliseconds: number) => {
      now += milliseconds
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

t.test('an erasure is retried for a while, and then reported as pending', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const { refresher } = broker.services
  const delayed = (times: number) => {
    let remaining = times
    const { store } = broker.services
    return createConnections({
      store: Object.assign(Object.create(store) as Store, {
        ...store,
        purge: async (options: Parameters<Store['purge']>[0]) =>
          remaining-- > 0 ? 'blocked' : store.purge(options),
      }),
      refresher,
      driveCache: broker.services.driveCache,
      clock: instantClock(),
      log: broker.services.log,
    })
  }
  t.match(await delayed(3).revoke(connectionId, 'test'), { grants: 1, erased: true })
  t.match(await delayed(Infinity).revoke(connectionId, 'test'), { grants: 0, erased: false })
  t.equal(await broker.services.connections.revokeGrant('grant_unknown', 'test'), false)
})

t.test('usage is counted by app, hour and outcome, and written in batches', async (t) => {
  const writes: Parameters<Store['recordUse']>[0][] = []
  const { lines, log } = logger()
  let broken = false
  const store = partialStore({
    recordUse: async (use) => {
      if (broken) throw new Error('the disk is full')
      writes.push(use)
    },
  })
  const usage = createUsage({ store, clock: instantClock(), log })
  await usage.flush()
  t.same(writes, [], 'nothing to write')
  usage.count('swap', 'app_1', 'ok')
  usage.count('swap', 'app_1', 'ok')
  usage.count('swap', 'app_1', 'invalid_token')
  for (let count = 0; count < 51; count++) usage.touch(`grant_${count}`)
  let turns = 0
  let counting = true
  const count = () => {
    turns++
    if (counting) setImmediate(count)
  }
  setImmediate(count)
  await usage.flush()
  t.same(
    writes.map(({ grants, counts }) => [grants.length, counts.length]),
    [
      [25, 2],
      [25, 0],
      [1, 0],
    ],
    'each changes several pages of the database',
  )
  counting = false
  t.ok(turns >= 3, 'other work runs in between')
  broken = true
  usage.count('swap', 'app_1', 'ok')
  await usage.flush()
  t.match(lines, [/could not be written/])
})

t.test('the sweeper continues after a failure, and stops when asked', async (t) => {
  const { lines, log } = logger()
  let [sweeps, pending, removed] = [0, 3, 3]
  const store = partialStore({
    sweep: async () => {
      if (sweeps++ === 0) throw new Error('the disk is full')
      const rest = { deviceCodes: 0, links: 0, grants: 0, connections: 0, events: 0 }
      return { codes: sweeps % 2, ...rest, more: false }
    },
    releaseSpace: async () => false,
    isErasurePending: async () => pending > 0,
    // First blocked, then done.
    purge: async () => (--pending === 2 ? 'blocked' : 'done'),
    revokeGrantsOfRemovedApps: async () => Math.max(0, --removed),
    getMeta: async () => ({}),
    setMeta: async () => undefined,
  })
  const noop = () => undefined
  const usage = { count: noop, touch: noop, touchLink: noop, flush: async () => undefined }
  const upstream = { flush: async () => undefined }
  const sweeper = createSweeper({
    store,
    usage,
    upstream,
    throttle: (piece) => piece(),
    clock: instantClock(),
    log,
    eventDays: 400,
    followKeys: async () => undefined,
    keys: { maintain: async () => undefined },
    driveBudget: { flush: async () => undefined },
    driveCache: { sweep: async () => undefined },
  })
  sweeper.start()
  while (sweeps < 4 || pending > 0 || removed > 0)
    await new Promise((resolve) => setImmediate(resolve))
  await sweeper.stop()
  for (const text of [
    'maintenance failed',
    'old records were deleted',
    'is pending',
    'is complete',
  ]) {
    t.ok(
      lines.some((line) => line.includes(text)),
      text,
    )
  }
  t.equal(
    lines.filter((line) => line.includes('is complete')).length,
    1,
    'only when all are erased',
  )
  const after = sweeps
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.equal(sweeps, after)
})

t.test('a clock that is far ahead for a while deletes nothing live', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const days = 24 * 60 * 60 * 1000
  await broker.services.sweeper.sweep()
  broker.clock.advance(300 * days)
  await broker.services.sweeper.sweep()
  broker.clock.advance(-300 * days)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  broker.clock.advance(300 * days)
  for (let sweep = 0; sweep < 10; sweep++) await broker.services.sweeper.sweep()
  broker.clock.advance(-300 * days)
  t.equal((await exchange(broker, brokerToken)).status, 401, 'old records are deleted in steps')
})

t.test('a flush writes the counts to the store', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken, grantId } = await connect(broker, app)
  await exchange(broker, brokerToken)
  await broker.services.sweeper.stop()
  const usage = { appId: app.id, since: 0, stretchMs: 1e15 }
  t.match(await broker.services.store.sumUsage(usage), [{ kind: 'swap', outcome: 'ok', count: 1 }])
  t.type((await broker.services.store.getGrant(grantId))?.lastUsedAt, 'number')
})

t.test('a swap that fails counts for its app, a refresh for the app that asked', async (t) => {
  const broker = await buildBroker(t, { switches: { tokenLifetime: 30 } })
  const app = await addApp(broker)
  const { brokerToken, connectionId } = await connect(broker, app)
  const { store, connections, usage } = broker.services
  await exchange(broker, brokerToken)
  await connections.refresh(connectionId, 'test')
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 9 })
  broker.clock.advance(60_000)
  t.equal((await broker.clock.hurry(exchange(broker, brokerToken))).status, 403)
  await exchange(broker, 'rubbish')
  await usage.flush()
  const sums = async (appId: string | null) =>
    (await store.sumUsage({ appId, since: 0, stretchMs: 1e15 })).map(
      ({ kind, outcome, count }) => `${kind} ${outcome} ${count}`,
    )
  const own = ['refresh needs_reconnect 1', 'refresh ok 1', 'swap needs_reconnect 1', 'swap ok 1']
  t.strictSame(await sums(app.id), own)
  t.match(await sums(null), ['refresh needs_reconnect 1', 'refresh ok 2'], 'the admin’s too')
  t.match(await sums(null), /swap token_refused 1/)
})
