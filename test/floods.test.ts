/**
 * Strangers at many addresses send as much as the broker answers. On a quiet machine, measure with
 * `FLOOD_SECONDS=60 npm run test:long -- test/floods.test.ts`.
 */
import t from 'tap'
import type { Test } from 'tap'
import { OF_ALL } from '../server/connections/upstream-budget.ts'
import { MAX_WAITING } from '../server/oauth/device-code-bounds.ts'
import { PASSWORD, signIn } from './admin.ts'
import { flood, sizeOf } from './floods/flood.ts'
import { addApp, buildBroker, connect } from './helper.ts'
import { size } from './size.ts'

/** A flood's length; if it is set, the machine is quiet and its figures are judged. */
const { FLOOD_SECONDS } = process.env
const SECONDS = Number(FLOOD_SECONDS ?? size(1, 5))
/** Lifetime of everything that a flood leaves, with the time until the sweep deletes it. */
const UNTIL_SWEPT_MS = 30 * 60_000
/** Free pages and the log stay for new data. */
const KEPT_BYTES = 6_000_000
/** What the codes that may wait take, with their indexes and their part of the log. */
const WAITING_BYTES = 2 * MAX_WAITING * 1000

const ADMIN = { email: 'admin@example.com', password: PASSWORD }

async function prepare(t: Parameters<typeof buildBroker>[0]) {
  const broker = await buildBroker(t, { env: { BROKER_LOG_LEVEL: 'error' } })
  const { brokerToken } = await connect(broker, await addApp(broker))
  const target = await addApp(broker, { trusted: true, device: true })
  const { dataDir, url, services, clock } = broker

  /** Floods the broker while an app goes on with its exchanges, and `meanwhile` with something else. */
  const endure = async (
    t: Test,
    kind: 'flows' | 'device codes' | 'callbacks' | 'sign-ins',
    meanwhile?: (hasEnded: () => boolean) => Promise<void>,
  ) => {
    const quiet = await flood('exchanges', url, brokerToken, FLOOD_SECONDS === undefined ? 0.1 : 10)
    const before = sizeOf(dataDir)
    let hasEnded = false
    const floods = Promise.all([
      flood(kind, url, target.id, SECONDS),
      flood('exchanges', url, brokerToken, SECONDS),
    ]).finally(() => (hasEnded = true))
    const [[attack, exchanges]] = await Promise.all([floods, meanwhile?.(() => hasEnded)])
    const grownBytes = sizeOf(dataDir) - before
    t.strictSame(Object.keys(exchanges.statuses), ['200'], 'every exchange succeeds')
    clock.advance(UNTIL_SWEPT_MS)
    await services.sweeper.sweep()
    const keptBytes = sizeOf(dataDir) - before
    const total = Object.values(attack.statuses).reduce((sum, count) => sum + count, 0)
    t.comment(
      `${kind}: ${Math.round(total / SECONDS)} a second ${JSON.stringify(attack.statuses)}, ` +
        `grown by ${grownBytes} bytes, ${keptBytes} after the sweep; exchanges: ` +
        `${exchanges.statuses[200]} in ${SECONDS} s, p99 ${exchanges.p99Ms?.toFixed(1)} ms ` +
        `(quiet: ${quiet.p99Ms?.toFixed(1)} ms)`,
    )
    t.ok(keptBytes < KEPT_BYTES, `${keptBytes} bytes stay`)
    if (FLOOD_SECONDS !== undefined) t.ok((exchanges.p99Ms ?? 0) < 50, 'exchanges are quick')
    return { statuses: attack.statuses, grownBytes }
  }
  return { broker, endure }
}

t.setTimeout(0)

t.test('floods', async (t) => {
  const { broker, endure } = await prepare(t)

  await t.test('of flows store nothing', async (t) => {
    const { statuses, grownBytes } = await endure(t, 'flows')
    t.ok(statuses[303])
    t.ok(grownBytes < 100_000, `${grownBytes} bytes`)
  })

  await t.test('of device codes are bounded', async (t) => {
    const { statuses, grownBytes } = await endure(t, 'device codes')
    t.ok(statuses[200])
    t.ok(grownBytes < WAITING_BYTES, `${grownBytes} bytes`)
  })

  await t.test('of callbacks stay within the budget of Ellipsis Drive', async (t) => {
    const before = broker.standIn.calls.token
    const startedAt = performance.now()
    await endure(t, 'callbacks')
    const seconds = (performance.now() - startedAt) / 1000
    const calls = broker.standIn.calls.token - before
    t.ok(calls > 0)
    t.ok(calls <= OF_ALL.size + OF_ALL.perSecond * seconds, `${calls} calls`)
  })

  await t.test('of sign-ins are bounded', async (t) => {
    const visitor = await signIn(broker)
    // The admin's own browser: a device cookie says so.
    const signInAgain = async (hasEnded: () => boolean) => {
      let count = 0
      for (; !hasEnded(); count++) {
        const page = await visitor.open(`${broker.url}/admin`)
        const form = await visitor.press(page, 'Sign out')
        const again = await visitor.press(form, 'Sign in', ADMIN)
        t.equal(again.url, `${broker.url}/admin`, 'the admin of a known browser signs in')
      }
      t.comment(`the admin has signed in ${count} times`)
    }
    const { grownBytes } = await endure(t, 'sign-ins', signInAgain)
    t.ok(grownBytes < KEPT_BYTES, `${grownBytes} bytes`)
  })
})
