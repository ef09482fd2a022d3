import t from 'tap'
import type { Store } from '../../db/store.ts'
import { createUpstreamStatus } from '../../server/refresh/upstream-status.ts'
import { openTemporary } from '../db/temporary.ts'

const clock = (now: number) => ({ now: () => now++, sleep: async () => undefined })

const ignore = () => undefined
const silent = { info: ignore, warn: ignore, error: ignore }

t.test('every process sees the start of an outage and its last error', async (t) => {
  const { store } = await openTemporary(t)
  const one = createUpstreamStatus({ store, clock: clock(1000), log: silent })
  const other = createUpstreamStatus({ store, clock: clock(2000), log: silent })
  t.match(await one.state(), { answeredAt: null, failingSince: null })
  one.recordCall('ok', 'refresh')
  one.recordCall('failed', 'refresh')
  one.recordCall('503', 'refresh')
  t.match(await one.state(), { answeredAt: 1000, failingSince: 1001, lastError: /503/ })
  t.match(await other.state(), { failingSince: null }, 'not flushed yet')
  await one.flush()
  t.match(await other.state(), { failingSince: 1001 }, 'flushed to the other processes')
  for (const answer of ['refused', '400', 'refresh_token_lost'] as const) {
    other.recordCall(answer, 'refresh')
    await other.flush()
    t.match(await one.state(), { failingSince: null }, `${answer}: it is up`)
    one.recordCall('ok', 'refresh')
  }
})

t.test(
  'a failure after an answer to another process counts, a failure before it does not',
  async (t) => {
    const { store } = await openTemporary(t)
    let now = 0
    const shared = { now: () => now, sleep: async () => undefined }
    const [one, other] = [1, 2].map(() =>
      createUpstreamStatus({ store, clock: shared, log: silent }),
    )
    if (!one || !other) return
    const record = async (status: typeof one, at: number, outcome: 'ok' | 'failed') => {
      now = at
      status.recordCall(outcome, 'refresh')
      await status.flush()
    }
    await record(one, 200, 'failed')
    t.match(await other.state(), { failingSince: 200 })
    await record(other, 250, 'ok')
    t.match(await one.state(), { failingSince: null })
    await record(one, 300, 'failed')
    for (const status of [one, other]) t.match(await status.state(), { failingSince: 300 })
    await record(other, 350, 'failed')
    t.match(await one.state(), { failingSince: 300 })
  },
)

t.test('each kind of problem has its text', async (t) => {
  const { store } = await openTemporary(t)
  const upstream = createUpstreamStatus({ store, clock: clock(1000), log: silent })
  const messages = {
    failed: /no answer/,
    unusable: /can’t read/,
    misconfigured: /ELLIPSIS_CLIENT_ID/,
    '429': /fewer calls/,
    '502': /status 502/,
  } as const
  for (const [outcome, expected] of Object.entries(messages)) {
    upstream.recordCall(outcome as keyof typeof messages, 'refresh')
    t.match((await upstream.state()).lastError, expected)
  }
})

t.test('a failed flush is repeated', async (t) => {
  const { store } = await openTemporary(t)
  let broken = true
  const recordUpstream: Store['recordUpstream'] = async (seen) => {
    if (broken) throw new Error('the disk is full')
    return store.recordUpstream(seen)
  }
  const upstream = createUpstreamStatus({
    store: { ...store, recordUpstream },
    clock: clock(1000),
    log: silent,
  })
  upstream.recordCall('failed', 'refresh')
  await t.rejects(upstream.flush(), /disk/)
  broken = false
  await upstream.flush()
  t.match(await store.getUpstream(), { failedAt: 1000 })
})

/** An upstream status whose clock the test moves, and what it has logged. */
async function begin(t: Parameters<typeof openTemporary>[0]) {
  const { store } = await openTemporary(t)
  const logged: string[] = []
  const add = (level: string) => (_details: object, message: string) =>
    void logged.push(`${level} ${message}`)
  const log = { info: add('info'), warn: add('warn'), error: add('error') }
  let now = 0
  const shared = { now: () => now, sleep: async () => undefined }
  const upstream = createUpstreamStatus({ store, clock: shared, log })
  return { upstream, logged, advance: (milliseconds: number) => (now += milliseconds) }
}

const CLIENT_REFUSED =
  'error Ellipsis Drive refuses this broker’s own client: check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET'

t.test('an outage is a line when it begins and a line when it ends', async (t) => {
  const { upstream, logged, advance } = await begin(t)
  const down = 'warn Ellipsis Drive fails: it answers with status 503'
  const up = 'info Ellipsis Drive answers again'
  upstream.recordCall('ok', 'refresh')
  for (let count = 0; count < 10; count++) upstream.recordCall('503', 'refresh')
  t.strictSame(logged, [down])
  for (let count = 0; count < 10; count++) upstream.recordCall('ok', 'refresh')
  t.strictSame(logged, [down, up])
  for (let count = 0; count < 10; count++) {
    upstream.recordCall('503', 'refresh')
    upstream.recordCall('ok', 'refresh')
  }
  t.strictSame(logged, [down, up], 'calls that fail now and then do not fill the log')
  upstream.recordCall('503', 'refresh')
  advance(60_000)
  upstream.recordCall('503', 'refresh')
  t.strictSame(logged, [down, up, down], 'what lasts is logged a minute later')
})

t.test('the broker’s own client is refused from the first connect on', async (t) => {
  const { upstream, logged, advance } = await begin(t)
  advance(1000)
  upstream.recordCall('misconfigured', 'token')
  t.equal(upstream.clientRefusedSince(), 1000)
  upstream.recordCall('misconfigured', 'refresh')
  upstream.recordCall('503', 'refresh')
  upstream.recordCall('ok', 'account')
  t.equal(upstream.clientRefusedSince(), 1000, 'only the token endpoint reads the client’s secret')
  t.strictSame(logged, [CLIENT_REFUSED])
  upstream.recordCall('refused', 'refresh')
  t.equal(upstream.clientRefusedSince(), null)
  t.strictSame(logged, [CLIENT_REFUSED, 'info Ellipsis Drive answers again'])
})

t.test('one refusal of the client between successes is not believed', async (t) => {
  const { upstream, logged, advance } = await begin(t)
  for (let count = 0; count < 3; count++) {
    upstream.recordCall('ok', 'refresh')
    upstream.recordCall('misconfigured', 'refresh')
    t.equal(upstream.clientRefusedSince(), null)
  }
  t.strictSame(logged, [])
  advance(1000)
  upstream.recordCall('misconfigured', 'refresh')
  t.equal(upstream.clientRefusedSince(), 1000, 'the second in a row is')
  t.strictSame(logged, [CLIENT_REFUSED])
})
