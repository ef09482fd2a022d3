import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createRefreshPace } from '../../../server/refresh/refresh-pace.ts'
import { runtime } from '../../../server/runtime.ts'
import { buildBroker } from '../../helper.ts'
import { size } from '../../size.ts'
import { addOfflineApp, callApi, getAppToken, swapForApp } from './begin.ts'
import { addUsers } from './many.ts'

const WORKERS = 64
const BUSY = [429, 503]

/** Starts a broker that records when it asks Ellipsis Drive for tokens, milliseconds. */
async function start(t: Parameters<typeof buildBroker>[0], refreshesPerSecond: number) {
  const calledAt: number[] = []
  const broker = await buildBroker(t, {
    env: { BROKER_OFFLINE_REFRESHES_PER_SECOND: String(refreshesPerSecond) },
    runtime: {
      fetch: async (input, init) => {
        calledAt.push(performance.now())
        return runtime.fetch(input, init)
      },
    },
  })
  return { broker, calledAt }
}

/** The most calls within any second. */
function mostPerSecond(calledAt: number[]): number {
  let [first, most] = [0, 0]
  for (const [index, at] of calledAt.entries()) {
    while ((calledAt[first] ?? 0) <= at - 1000) first++
    most = Math.max(most, index - first + 1)
  }
  return most
}

t.test('a job that is killed half-way continues, at the configured rate', async (t) => {
  const count = Number(process.env.USERS ?? size(200, 1500))
  const rate = size(50, 100)
  const { broker, calledAt } = await start(t, rate)
  const app = await addOfflineApp(broker)
  const ids = await addUsers(broker, app.app, count)
  let token = await getAppToken(broker, app)
  const refused = { busy: 0, token: 0 }
  const tokens = new Map<string, string>()

  /** Asks again as the answers say, as docs/connect/nightly.md does. */
  const ask = async (request: () => ReturnType<typeof callApi>) => {
    for (;;) {
      const answer = await request()
      if (BUSY.includes(answer.status)) {
        refused.busy++
        await sleep(1000 * Number(answer.headers.get('retry-after')))
      } else if (answer.status === 401) {
        refused.token++
        token = await getAppToken(broker, app)
      } else return answer
    }
  }
  const run = async (after: string, limit: number): Promise<string | null> => {
    let [cursor, done]: [string | null, number] = [after, 0]
    while (cursor !== null && done < limit) {
      const path: string = `?status=active&limit=100&after=${cursor}`
      const { body } = await ask(() => callApi(broker, token, path))
      const grants = (body.grants as { grant_id: string }[]).values()
      const worker = async () => {
        for (const { grant_id: id } of grants) {
          const swapped = await ask(() => swapForApp(broker, token, id))
          t.equal(swapped.status, 200)
          t.notOk(tokens.has(id), 'each grant once')
          tokens.set(id, String(swapped.body.access_token))
          done++
        }
      }
      await Promise.all(Array.from({ length: WORKERS }, worker))
      cursor = body.next as string | null
    }
    return cursor
  }

  const startedAt = performance.now()
  const stopped = await run('', count / 2)
  t.type(stopped, 'string', 'there is more to do')
  broker.clock.advance(601_000)
  t.equal(await run(stopped ?? '', Infinity), null)
  const seconds = (performance.now() - startedAt) / 1000
  t.strictSame([...tokens.keys()].sort(), ids.toSorted())
  t.equal(new Set(tokens.values()).size, count)
  t.equal(broker.standIn.calls.refresh, count, 'one refresh each')
  t.ok(refused.token > 0, 'the app token expired meanwhile')
  const most = mostPerSecond(calledAt)
  // A call begins some milliseconds after its turn.
  t.ok(most <= rate + 2, `${most} calls in a second; the limit is ${rate}`)
  t.comment(
    `${count} grants in ${seconds.toFixed(1)} s at ${rate} a second; ${most} calls in the busiest second; ${refused.busy} requests had to wait`,
  )

  const times: number[] = []
  for (let batch = 0; batch < 100; batch += 20) {
    const again = performance.now()
    for (const id of ids.slice(batch, batch + 20))
      t.equal((await ask(() => swapForApp(broker, token, id))).status, 200)
    times.push(performance.now() - again)
  }
  t.equal(broker.standIn.calls.refresh, count, 'the broker still has these tokens')
  // A busy machine makes some of them slower.
  t.ok(Math.min(...times) < 20_000 / rate, 'so they do not wait')
})

t.test('the pace of refreshes', async (t) => {
  let now = 0
  const sleep = (milliseconds: number) => {
    now += milliseconds
    return Promise.resolve()
  }
  const walking = createRefreshPace({
    clock: { now: () => 0, steady: () => now, sleep },
    refreshesPerSecond: 1,
  })
  for (const at of [0, 1000, 2000]) {
    await walking.wait(() => false)
    t.equal(now, at)
  }
  await walking.wait(() => now >= 2500)
  t.equal(now, 2500, 'a wait ends when it is not needed any more')

  const clock = { now: () => 0, steady: () => 0, sleep: () => new Promise<void>(() => undefined) }
  const standing = createRefreshPace({ clock, refreshesPerSecond: 1 })
  for (let count = 0; count < 6; count++) void standing.wait(() => false)
  for (let count = 0; count < 3; count++) {
    const expected = { code: 'slow_down', details: { retryAfter: 1 } }
    await t.rejects(
      standing.wait(() => false),
      expected,
      'a refused request takes no turn',
    )
  }
})

t.test(
  'too many requests at once get slow_down; a user with a broker token never waits',
  async (t) => {
    const { broker } = await start(t, 1)
    const app = await addOfflineApp(broker)
    const ids = await addUsers(broker, app.app, 20)
    const token = await getAppToken(broker, app)
    const answers = ids.slice(0, 15).map((id) => swapForApp(broker, token, id))
    const all = Promise.all(answers)
    await broker.clock.asleep(250)
    const grant = await broker.services.store.getGrant('grant_many7')
    t.ok(grant)
    const startedAt = performance.now()
    const requirement = { minTtlSeconds: 60, fetchedAfter: null, evenIfPaused: false, appId: null }
    await Promise.all([
      broker.services.refresher.get('con_many19', requirement),
      broker.services.refresher.get('con_many3', requirement),
    ])
    t.ok(performance.now() - startedAt < 900, 'also if a refresh of the job was waiting')
    const statuses = (await broker.clock.hurry(all)).map(({ status }) => status)
    t.ok(statuses.filter((status) => status === 200).length >= 6)
    t.ok(statuses.includes(429))
    const refused = (await all).find(({ status }) => status === 429)
    t.match(refused?.body, { error: 'slow_down', retry_after: Number })
    t.match(refused?.headers.get('retry-after'), /^[1-9]\d*$/)
  },
)
