import t from 'tap'
import type { Connection, Store } from '../../db/store.ts'
import type { AccessToken, TokenRequirement } from '../../server/refresh/access-token.ts'
import { createRefresher } from '../../server/refresh/refresher.ts'
import type { RefreshAttempt } from '../../server/refresh/refresh-attempt.ts'
import type { Vault } from '../../server/crypto/vault.ts'
import { BrokerError } from '../../server/errors.ts'
import { Secret } from '../../server/secret.ts'
import { virtualClock } from '../virtual-clock.ts'

const requirement = (fields: Partial<TokenRequirement> = {}): TokenRequirement => ({
  ...{ minTtlSeconds: 60, fetchedAfter: null, evenIfPaused: false, appId: null },
  ...fields,
})
const token: AccessToken = { value: new Secret('a'), expiresAt: 9, fetchedAt: 0, generation: 1 }

function begin(
  attempt: RefreshAttempt,
  connection?: Partial<Connection>,
  { clock } = virtualClock(),
) {
  const store = { getConnection: async () => connection } as unknown as Store
  const vault = { open: () => token.value } as unknown as Vault
  return createRefresher({ attempt, store, vault, clock, onToken: () => undefined })
}

t.test('callers that join before the upstream call widen its requirement', async (t) => {
  let finish: (token: AccessToken) => void = () => undefined
  let request: { requirement: TokenRequirement } | undefined
  const refresher = begin((_id, given) => {
    request = given
    return new Promise((resolve) => (finish = resolve))
  })
  const asked = [
    requirement(),
    requirement({ fetchedAfter: 5, minTtlSeconds: 90 }),
    requirement({ evenIfPaused: true }),
    requirement({ fetchedAfter: 7 }),
    requirement({ fetchedAfter: 6 }),
  ].map((one) => refresher.get('con', one))
  t.match(request?.requirement, { minTtlSeconds: 90, fetchedAfter: 7, evenIfPaused: true })
  finish(token)
  t.strictSame(await Promise.all(asked), [token, token, token, token, token])
})

t.test(
  'a token that is refreshed in the background counts as unused until it is handed out',
  async (t) => {
    let finish: (token: AccessToken) => void = () => undefined
    const requirements: TokenRequirement[] = []
    const refresher = begin((_id, request) => {
      requirements.push(request.requirement)
      return new Promise((resolve) => (finish = resolve))
    })
    t.equal(refresher.inspectCache('con'), undefined)
    const refreshes = [
      refresher.refreshInBackground('con', 7),
      refresher.refreshInBackground('con', 8),
    ]
    t.match(
      requirements,
      [{ minTtlSeconds: 0, fetchedAfter: 7, appId: null }],
      'both share one refresh',
    )
    finish(token)
    await Promise.all(refreshes)
    t.match(refresher.inspectCache('con'), { expiresAt: 9, used: false })
    t.equal(refresher.getCached('con', 2), undefined, 'another generation')
    t.match(refresher.inspectCache('con'), { used: false })
    t.match(refresher.getCached('con', 1), { expiresAt: 9 })
    t.match(refresher.inspectCache('con'), { used: true })
  },
)

t.test(
  'while Ellipsis Drive is unavailable, only an active connection’s unexpired token is returned',
  async (t) => {
    const unavailable = () => Promise.reject(new BrokerError('temporarily_unavailable'))
    const stored = {
      id: 'con',
      accessToken: Buffer.alloc(1),
      accessTokenFetchedAt: 0,
      generation: 1,
    }
    const get = (connection?: Partial<Connection>, fields: Partial<TokenRequirement> = {}) =>
      begin(unavailable, connection).get('con', requirement(fields))
    const living = { ...stored, status: 'active', accessTokenExpiresAt: 9 } as const
    t.match(await get(living), { expiresAt: 9 })
    const error = { code: 'temporarily_unavailable' }
    await t.rejects(get(living, { fetchedAfter: 0 }), error, 'a refresh was forced')
    await t.rejects(get({ ...living, accessTokenExpiresAt: 0 }), error, 'it has expired')
    await t.rejects(get({ ...living, accessToken: null }), error, 'there is none')
    await t.rejects(get({ ...living, status: 'needs_reconnect' }), error)
    await t.rejects(get(undefined), error)
  },
)

/** When a call ended, in milliseconds of the virtual time, and with which error code. */
async function endOf(call: Promise<unknown>, clock: { now(): number }) {
  const error = await call.then(
    () => null,
    (error: unknown) => error,
  )
  return { at: clock.now(), code: error instanceof BrokerError ? error.code : error }
}

t.test('a forced refresh waits ten seconds at most for one that never ends', async (t) => {
  const time = virtualClock()
  let attempts = 0
  const refresher = begin(
    (_id, request) => {
      attempts++
      request.callStarted = true
      return new Promise(() => undefined)
    },
    undefined,
    time,
  )
  const ends = [null, 1, 2].map((fetchedAfter) =>
    endOf(refresher.get('con', requirement({ fetchedAfter })), time.clock),
  )
  await time.advance(10_000)
  const late = endOf(refresher.get('con', requirement({ fetchedAfter: 3 })), time.clock)
  await time.advance(60_000)
  const unavailable = { at: 10_000, code: 'temporarily_unavailable' }
  t.strictSame(await Promise.all(ends), [unavailable, unavailable, unavailable])
  t.strictSame(await late, { at: 20_000, code: 'temporarily_unavailable' })
  t.equal(attempts, 1, 'and starts none after it')
})

t.test('a forced refresh waits ten seconds at most while others begin and end', async (t) => {
  for (const [durationMs, fails] of [
    [3000, false],
    [4000, true],
    [9999, true],
    [700, false],
  ] as const) {
    const time = virtualClock()
    let attempts = 0
    const refresher = begin(
      async (_id, request) => {
        attempts++
        request.callStarted = true
        await time.clock.sleep(durationMs)
        if (fails) throw new BrokerError('temporarily_unavailable')
        return token
      },
      undefined,
      time,
    )
    let isOver = false
    // Another refresh begins as soon as one ends, before any waiter runs.
    const crowd = async () => {
      while (!isOver) await refresher.refreshInBackground('con', 0).catch(() => undefined)
    }
    const crowded = crowd()
    const forced = endOf(refresher.get('con', requirement({ fetchedAfter: 1 })), time.clock)
    await time.advance(61_000)
    isOver = true
    const { at } = await forced
    t.ok(at <= 10_000, `ended after ${at} ms, with refreshes of ${durationMs} ms`)
    await time.advance(60_000)
    await crowded
    t.ok(attempts > 2)
  }
})

t.test('a forced refresh whose caller has given up is not started', async (t) => {
  const time = virtualClock()
  const started: number[] = []
  const refresher = begin(
    async (_id, request) => {
      started.push(time.clock.now())
      request.callStarted = true
      await time.clock.sleep(15_000)
      return token
    },
    undefined,
    time,
  )
  const first = endOf(refresher.get('con', requirement()), time.clock)
  const forced = endOf(refresher.get('con', requirement({ fetchedAfter: 1 })), time.clock)
  await time.advance(60_000)
  t.match(await first, { at: 10_000 })
  t.strictSame(await forced, { at: 10_000, code: 'temporarily_unavailable' })
  t.strictSame(started, [0])
  const next = endOf(refresher.get('con', requirement({ fetchedAfter: 2 })), time.clock)
  await time.advance(20_000)
  t.match(await next, { code: 'temporarily_unavailable' }, 'the next one may be forced')
  t.equal(started.length, 2)
})
