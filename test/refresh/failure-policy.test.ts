import { randomBytes } from 'node:crypto'
import t from 'tap'
import {
  backoff,
  isRetryable,
  judge,
  pauseLeft,
  upstreamError,
  withRetries,
} from '../../server/refresh/failure-policy.ts'
import { BrokerError } from '../../server/errors.ts'
import { EllipsisError } from '../../server/ellipsis/errors.ts'

type Facts = ConstructorParameters<typeof EllipsisError>[1]
const failed = (facts: Partial<Facts> = {}) =>
  new EllipsisError('it failed', { kind: 'transient', status: 503, maybeApplied: false, ...facts })

t.test('what apps are told of a failed call', async (t) => {
  t.equal(upstreamError(new Error('a bug')).code, 'server_error')
  t.equal(upstreamError(failed({ kind: 'misconfigured' })).code, 'server_error')
  t.equal(upstreamError(failed()).details.retryAfter, 2)
  t.match(upstreamError(failed({ retryAfterMs: 6100 })), {
    code: 'temporarily_unavailable',
    details: { retryAfter: 7 },
  })
})

t.test('what can be asked again at once', async (t) => {
  const cases: [unknown, boolean][] = [
    [failed(), true],
    [failed({ status: null }), true],
    [failed({ status: null, maybeApplied: true }), false],
    [failed({ status: 429 }), false],
    [failed({ status: 429, retryAfterMs: 1000 }), true],
    [failed({ status: 404 }), false],
    [failed({ kind: 'refused', status: 400 }), false],
    [new Error('a bug'), false],
  ]
  for (const [error, retryable] of cases) t.equal(isRetryable(error), retryable)
})

t.test('three tries, with pauses that grow, or as upstream asks', async (t) => {
  const sleeps: number[] = []
  const clock = {
    now: () => 0,
    sleep: async (milliseconds: number) => void sleeps.push(milliseconds),
  }
  const needs = { clock, random: () => Buffer.alloc(4) }
  const failing = (...errors: unknown[]) => {
    let calls = 0
    const call = async () => {
      const error = errors[calls++]
      if (error !== undefined) throw error as Error
      return calls
    }
    return withRetries(call, needs)
  }
  t.equal(await failing(failed(), failed()), 3)
  t.same(sleeps.splice(0), [125, 250])
  await t.rejects(failing(failed(), failed(), failed()), 'a fourth is not tried')
  sleeps.length = 0
  t.equal(await failing(failed({ retryAfterMs: 1500 })), 2)
  t.same(sleeps.splice(0), [1500])
  await t.rejects(failing(failed({ retryAfterMs: 2500 })), 'too long for those who wait')
  await t.rejects(failing(new Error('a bug')))
  await t.rejects(failing(failed(), new BrokerError('temporarily_unavailable')), {
    message: 'it failed',
  })
  sleeps.length = 0
  t.same(sleeps, [])
})

t.test('a backoff doubles up to its longest', async (t) => {
  const most = () => Buffer.alloc(4, 255)
  t.equal(
    backoff(0, 100, 1000, () => Buffer.alloc(4)),
    50,
  )
  t.ok(backoff(0, 100, 1000, most) > 99)
  t.ok(backoff(20, 100, 1000, most) <= 1000)
})

t.test('what a failed refresh means for its connection', async (t) => {
  const random = randomBytes
  const context = { othersWork: true, refusesAll: false, now: 1000, random }
  const fresh = { status: 'active', failures: 0, doubt: null, restoredFrom: null } as const
  const refused = failed({ kind: 'refused', status: 400 })

  const first = judge(refused, fresh, context)
  t.match(first, { refused: true, status: 'needs_reconnect', lastError: /revoked there/ })
  t.ok(first.retryAt - 1000 >= 30_000 && first.retryAt - 1000 <= 33_000)
  const old = { status: 'needs_reconnect', failures: 99, doubt: null, restoredFrom: null } as const
  const rare = judge(refused, old, context).retryAt - 1000
  t.ok(rare >= 86_400_000 && rare <= 1.1 * 86_400_000, 'a day, in the end')

  const lost = judge(refused, { ...fresh, doubt: 'answer_lost' }, context)
  t.match(lost, { lastError: /answer to an earlier refresh was lost/, doubt: 'answer_lost' })

  const backup = { ...fresh, restoredFrom: Date.UTC(2026, 6, 1) }
  t.match(judge(refused, backup, context).lastError, /backup of 2026-07-01T.*superseded/)

  const passing = judge(failed(), fresh, context)
  t.match(passing, { refused: false, status: 'active', lastError: 'it failed' })
  t.ok(passing.retryAt > 1000 && passing.retryAt <= 3000)
  const away = judge(failed(), old, context)
  t.equal(away.status, 'needs_reconnect', 'it stays what it was')
  t.ok(away.retryAt - 1000 >= 86_400_000, 'and is tried as rarely')
  const asked = judge(failed({ retryAfterMs: 3_600_000 }), fresh, context)
  t.equal(asked.retryAt, 1000 + 60_000, 'a minute at most')
  const doubtful = judge(failed({ maybeApplied: true }), fresh, context)
  t.match(doubtful, { lastError: /it failed; .* was lost/, doubt: 'answer_lost' })
})

t.test('while all are refused a refusal is hardly meant, and isn’t believed at once', async (t) => {
  const context = { othersWork: false, refusesAll: true, now: 0, random: randomBytes }
  const failing = (failures: number) =>
    ({ status: 'active', failures, doubt: null, restoredFrom: null }) as const
  const refusal = failed({ kind: 'refused', status: 400 })
  const first = judge(refusal, failing(0), context)
  t.match(first, { refused: false, status: 'active', lastError: 'it failed' })
  t.ok(first.retryAt >= 30_000, 'it is tried again as rarely as a refused one')
  t.equal(judge(refusal, failing(3), context).refused, false)
  t.equal(judge(refusal, failing(4), context).refused, true, 'it has stood for an hour')
  t.equal(judge(refusal, { ...failing(0), doubt: 'answer_lost' }, context).refused, true)
  t.equal(judge(refusal, { ...failing(0), status: 'needs_reconnect' }, context).refused, true)
})

t.test(
  'a pause that is longer than any that is made has ended: the clock was set back',
  async (t) => {
    const minute = 60_000
    const left = (failures: number, retryAt: number | null, status: 'active' | 'needs_reconnect') =>
      pauseLeft({ status, failures, retryAt }, 0)
    for (const status of ['active', 'needs_reconnect'] as const) {
      t.equal(left(0, null, status), 0)
      t.equal(left(1, -1, status), 0)
      t.equal(left(1, 2000, status), 2000)
      t.equal(left(1, 1.5 * minute, status), 0)
      t.equal(left(3, 10 * minute, status), 10 * minute)
      t.equal(left(3, 60 * minute, status), 0)
      t.equal(left(4, 60 * minute, status), 60 * minute, 'a refusal that isn’t believed yet')
    }
    t.equal(left(99, 1500 * minute, 'needs_reconnect'), 1500 * minute)
    t.equal(left(5, minute, 'active'), minute)
    t.equal(left(5, 2 * minute, 'active'), 0, 'passing faults make none so long')
  },
)

t.test('unclear answers are taken for a refusal only after many, while others work', async (t) => {
  const context = { othersWork: true, refusesAll: false, now: 0, random: randomBytes }
  const failing = (failures: number) =>
    ({ status: 'active', failures, doubt: null, restoredFrom: null }) as const
  const unclear = failed({ status: 418 })
  t.equal(judge(unclear, failing(7), context).refused, false)
  t.equal(judge(unclear, failing(8), context).refused, true)
  t.equal(judge(unclear, failing(8), { ...context, othersWork: false }).refused, false)
  for (const status of [429, 503, null, 302]) {
    t.equal(judge(failed({ status }), failing(99), context).refused, false, String(status))
  }
})
