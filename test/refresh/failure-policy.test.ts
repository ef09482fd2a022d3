import { randomBytes } from 'node:crypto'
import t from 'tap'
import {
  assessFailure,
  backoffMs,
  isRetryable,
  remainingPauseMs,
  upstreamError,
  withRetries,
} from '../../server/refresh/failure-policy.ts'
import { BrokerError } from '../../server/errors.ts'
import { EllipsisError } from '../../server/ellipsis/errors.ts'

type Facts = ConstructorParameters<typeof EllipsisError>[1]
const failed = (facts: Partial<Facts> = {}) =>
  new EllipsisError('it failed', { kind: 'transient', status: 503, maybeApplied: false, ...facts })

t.test('upstreamError: the public error of a failed call', async (t) => {
  t.equal(upstreamError(new Error('a bug')).code, 'server_error')
  t.equal(upstreamError(failed({ kind: 'misconfigured' })).code, 'server_error')
  t.equal(upstreamError(failed()).details.retryAfter, 2)
  t.match(upstreamError(failed({ retryAfterMs: 6100 })), {
    code: 'temporarily_unavailable',
    details: { retryAfter: 7 },
  })
})

t.test('isRetryable: which errors allow an immediate retry', async (t) => {
  const cases: [unknown, boolean][] = [
    [failed(), true],
    [failed({ status: null }), true],
    [failed({ status: null, maybeApplied: true }), false],
    [failed({ maybeApplied: true }), true],
    [failed({ status: 429 }), false],
    [failed({ status: 429, retryAfterMs: 1000 }), true],
    [failed({ status: 404 }), false],
    [failed({ kind: 'refused', status: 400 }), false],
    [new Error('a bug'), false],
  ]
  for (const [error, retryable] of cases) t.equal(isRetryable(error), retryable)
})

t.test('withRetries: three attempts, with exponential backoff or Retry-After', async (t) => {
  const sleeps: number[] = []
  const clock = {
    now: () => 0,
    sleep: async (milliseconds: number) => void sleeps.push(milliseconds),
  }
  const options = { clock, random: () => Buffer.alloc(4) }
  const failing = (...errors: unknown[]) => {
    let calls = 0
    const call = async () => {
      const error = errors[calls++]
      if (error !== undefined) throw error as Error
      return calls
    }
    return withRetries(call, options)
  }
  t.equal(await failing(failed(), failed()), 3)
  t.same(sleeps.splice(0), [125, 250])
  await t.rejects(failing(failed(), failed(), failed()), 'no fourth attempt')
  sleeps.length = 0
  t.equal(await failing(failed({ retryAfterMs: 1500 })), 2)
  t.same(sleeps.splice(0), [1500])
  await t.rejects(
    failing(failed({ retryAfterMs: 2500 })),
    'Retry-After is too long for an immediate retry',
  )
  await t.rejects(failing(new Error('a bug')))
  t.same(sleeps, [], 'neither is retried')
  await t.rejects(failing(failed(), new BrokerError('temporarily_unavailable')), {
    message: 'it failed',
  })
  t.equal(sleeps.length, 1)
})

t.test('backoffMs doubles up to its maximum', async (t) => {
  const most = () => Buffer.alloc(4, 255)
  t.equal(
    backoffMs(0, 100, 1000, () => Buffer.alloc(4)),
    50,
  )
  t.ok(backoffMs(0, 100, 1000, most) > 99)
  t.ok(backoffMs(20, 100, 1000, most) <= 1000)
})

t.test('assessFailure: what a failed refresh means for its connection', async (t) => {
  const random = randomBytes
  const context = { othersSucceed: true, refusesAll: false, now: 1000, random }
  const fresh = {
    status: 'active',
    failures: 0,
    rejections: 0,
    staleReason: null,
    restoredFrom: null,
  } as const
  const refused = failed({ kind: 'refused', status: 400 })

  const first = assessFailure(refused, fresh, context)
  t.match(first, { grantRefused: true, status: 'needs_reconnect', lastError: /revoked there/ })
  t.ok(first.retryAt - 1000 >= 30_000 && first.retryAt - 1000 <= 33_000)
  t.ok(Number.isInteger(first.retryAt), 'whole milliseconds')
  const old = {
    status: 'needs_reconnect',
    failures: 99,
    rejections: 99,
    staleReason: null,
    restoredFrom: null,
  } as const
  const rare = assessFailure(refused, old, context).retryAt - 1000
  t.ok(rare >= 86_400_000 && rare <= 1.1 * 86_400_000, 'a day at most')

  const afterOutage = assessFailure(refused, { ...fresh, failures: 8 }, context)
  t.equal(afterOutage.status, 'needs_reconnect')
  for (const [rejections, minutes] of [2, 10, 60, 360, 1440].entries()) {
    const rejected = { ...old, failures: 8 + rejections + 1, rejections: rejections + 1 }
    const pause = assessFailure(refused, rejected, context).retryAt - 1000
    t.ok(pause >= minutes * 60_000, `after an outage, rejection ${rejections + 2}`)
    t.ok(pause <= minutes * 66_000)
  }

  const lost = assessFailure(refused, { ...fresh, staleReason: 'answer_lost' }, context)
  t.match(lost, { lastError: /answer to an earlier refresh was lost/, staleReason: 'answer_lost' })

  const backup = { ...fresh, restoredFrom: Date.UTC(2026, 6, 1) }
  t.match(assessFailure(refused, backup, context).lastError, /backup of 2026-07-01T.*superseded/)

  const passing = assessFailure(failed(), fresh, context)
  t.match(passing, { grantRefused: false, status: 'active', lastError: 'it failed' })
  t.ok(passing.retryAt > 1000 && passing.retryAt <= 3000)
  t.ok(Number.isInteger(passing.retryAt), 'whole milliseconds')
  const transient = assessFailure(failed(), old, context)
  t.equal(transient.status, 'needs_reconnect', 'the status is unchanged')
  t.ok(transient.retryAt - 1000 >= 86_400_000, 'and the pause is as long as before')
  const asked = assessFailure(failed({ retryAfterMs: 3_600_000 }), fresh, context)
  t.equal(asked.retryAt, 1000 + 60_000, 'a minute at most')
  const answerLost = assessFailure(failed({ maybeApplied: true }), fresh, context)
  t.match(answerLost, { lastError: /it failed; .* was lost/, staleReason: 'answer_lost' })
})

t.test(
  'assessFailure believes a refusal only after repetition while all connections are refused',
  async (t) => {
    const context = { othersSucceed: false, refusesAll: true, now: 0, random: randomBytes }
    const failing = (rejections: number, failures = rejections) =>
      ({ status: 'active', failures, rejections, staleReason: null, restoredFrom: null }) as const
    const refusal = failed({ kind: 'refused', status: 400 })
    const first = assessFailure(refusal, failing(0), context)
    t.match(first, { grantRefused: false, status: 'active', lastError: 'it failed' })
    t.ok(first.retryAt >= 30_000, 'the pause is that of a refused connection')
    t.equal(assessFailure(refusal, failing(3), context).grantRefused, false)
    t.equal(
      assessFailure(refusal, failing(3, 30), context).grantRefused,
      false,
      'other failures before it prove nothing',
    )
    t.equal(
      assessFailure(refusal, failing(4), context).grantRefused,
      true,
      'it has lasted for an hour',
    )
    t.equal(
      assessFailure(refusal, { ...failing(0), staleReason: 'answer_lost' }, context).grantRefused,
      true,
    )
    t.equal(
      assessFailure(refusal, { ...failing(0), status: 'needs_reconnect' }, context).grantRefused,
      true,
    )
  },
)

t.test(
  'remainingPauseMs: a pause longer than any possible one is over (the clock was set back)',
  async (t) => {
    const minute = 60_000
    const remaining = (rejections: number, retryAt: number | null) =>
      remainingPauseMs({ rejections, retryAt }, 0)
    t.equal(remaining(0, null), 0)
    t.equal(remaining(0, -1), 0)
    t.equal(remaining(0, 2000), 2000)
    t.equal(remaining(0, minute), minute)
    t.equal(remaining(0, 2 * minute), 0, 'transient failures cause no pause this long')
    t.equal(remaining(1, 1.5 * minute), 0)
    t.equal(remaining(3, 10 * minute), 10 * minute)
    t.equal(remaining(3, 60 * minute), 0)
    t.equal(remaining(4, 60 * minute), 60 * minute, 'a refusal that is not believed yet')
    t.equal(remaining(99, 1500 * minute), 1500 * minute)
  },
)

t.test(
  'assessFailure takes unclear answers for a refusal after many, while other connections succeed',
  async (t) => {
    const context = { othersSucceed: true, refusesAll: false, now: 0, random: randomBytes }
    const failing = (failures: number) =>
      ({
        status: 'active',
        failures,
        rejections: 0,
        staleReason: null,
        restoredFrom: null,
      }) as const
    const unclear = failed({ status: 418 })
    t.equal(assessFailure(unclear, failing(7), context).grantRefused, false)
    t.equal(assessFailure(unclear, failing(8), context).grantRefused, true)
    t.equal(
      assessFailure(unclear, failing(8), { ...context, othersSucceed: false }).grantRefused,
      false,
    )
    for (const status of [429, 503, null, 302]) {
      t.equal(
        assessFailure(failed({ status }), failing(99), context).grantRefused,
        false,
        String(status),
      )
    }
  },
)
