import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Connection, Store } from '../../db/store.ts'
import type { AccessToken, TokenRequirement } from '../../server/refresh/access-token.ts'
import { LeaseLostError } from '../../server/refresh/lease.ts'
import type { Lease } from '../../server/refresh/lease.ts'
import { createRefreshAttempt } from '../../server/refresh/refresh-attempt.ts'
import { createUpstreamHealth } from '../../server/refresh/upstream-health.ts'
import type { Vault } from '../../server/crypto/vault.ts'
import { EllipsisError } from '../../server/ellipsis/errors.ts'
import { BrokerError } from '../../server/errors.ts'
import { Secret } from '../../server/secret.ts'

const connection = {
  id: 'con',
  status: 'active',
  generation: 1,
  refreshToken: Buffer.from('sealed'),
  accessToken: null,
  accessTokenExpiresAt: null,
  accessTokenFetchedAt: null,
  refreshedAt: null,
  failures: 0,
  retryAt: null,
  staleReason: null,
} as unknown as Connection
const requirement: TokenRequirement = {
  minTtlSeconds: 60,
  fetchedAfter: null,
  evenIfPaused: false,
  appId: 'app',
}
const fresh: AccessToken = {
  value: new Secret('access'),
  expiresAt: 9,
  fetchedAt: 1,
  generation: 2,
}

/** An attempt with the lease and call that a test defines; sleeping takes no time. */
function begin(parts: {
  acquire?: () => Promise<Lease | null>
  assertOutlastsCall?: () => void
  call?: () => Promise<object>
  clientRefused?: boolean
  stored?: Partial<Connection>
}) {
  const counted: string[] = []
  const released: Lease[] = []
  const lease = (extend = async () => undefined): Lease => ({
    connection,
    owner: 'me',
    staleReason: null,
    extend,
    assertOutlastsCall: parts.assertOutlastsCall ?? (() => undefined),
  })
  const attempt = createRefreshAttempt({
    store: { getConnection: async () => ({ ...connection, ...parts.stored }) } as unknown as Store,
    vault: { open: () => new Secret('refresh') } as unknown as Vault,
    ellipsis: { refresh: parts.call ?? (async () => ({})) } as never,
    breaker: { allows: () => true, run: async (_caller, call) => call(), state: () => 'closed' },
    leases: {
      acquire: parts.acquire ?? (async () => lease()),
      release: async (one) => void released.push(one),
      end: () => undefined,
      listAbandoned: async () => [],
    },
    outcomes: {
      saveTokens: async () => fresh,
      saveRefreshToken: () => Promise.reject(new Error('not expected')),
      saveFailure: (_lease, error) => Promise.reject(error),
      isClientRefused: () => parts.clientRefused === true,
    },
    unsaved: { restore: async () => false },
    upstreamHealth: createUpstreamHealth(),
    clock: { now: () => 0, steady: () => 0, sleep: async () => undefined },
    random: randomBytes,
    pace: { wait: async () => undefined },
    usage: { count: (kind, _appId, outcome) => void counted.push(`${kind} ${outcome}`) },
  })
  return {
    run: () => attempt('con', { requirement, callStarted: false }),
    lease,
    counted,
    released,
  }
}

t.test('waits for a lease that another process holds, with a limit', async (t) => {
  let asked = 0
  const { run, counted } = begin({ acquire: async () => (asked++, null) })
  await t.rejects(run(), { code: 'temporarily_unavailable', details: { retryAfter: 2 } })
  t.equal(asked, 130)
  t.strictSame(counted, [], 'no upstream call was made')
})

t.test('starts again if the process was paused before the call, and makes one call', async (t) => {
  let [checks, calls] = [0, 0]
  const { run, counted } = begin({
    assertOutlastsCall: () => {
      if (checks++ === 0) throw new LeaseLostError()
    },
    call: async () => (calls++, {}),
  })
  t.equal(await run(), fresh)
  t.strictSame([checks, calls], [2, 1])
  t.strictSame(counted, ['refresh ok'])
})

t.test('makes no call without a refresh token', async (t) => {
  const acquire = () => Promise.reject(new Error('not expected'))
  const { run, counted } = begin({ stored: { refreshToken: null }, acquire })
  await t.rejects(run(), { code: 'needs_reconnect' })
  t.strictSame(counted, [])
})

t.test('makes no call while the broker’s own client is refused', async (t) => {
  const { run } = begin({
    clientRefused: true,
    acquire: () => Promise.reject(new Error('not expected')),
  })
  await t.rejects(run(), { code: 'server_error' })
})

t.test(
  'reads the connection again if the lease is lost between two calls, and reports no failure',
  async (t) => {
    let calls = 0
    const down = new EllipsisError('down', { kind: 'transient', status: 503, maybeApplied: false })
    const lost = async () => Promise.reject(new LeaseLostError())
    let taken = 0
    const parts = begin({
      call: async () => (calls++ === 0 ? Promise.reject(down) : {}),
      acquire: async () => (taken++ === 0 ? parts.lease(lost) : parts.lease()),
    })
    t.equal(await parts.run(), fresh)
    t.equal(taken, 2)
    t.strictSame(parts.counted, ['refresh ok'])
  },
)

t.test('keeps the lease after an unexpected error, so that the next owner knows', async (t) => {
  const { run, counted, released } = begin({ call: () => Promise.reject(new Error('a bug')) })
  await t.rejects(run(), /a bug/)
  t.strictSame(counted, ['refresh server_error'])
  t.strictSame(released, [])
})

t.test('keeps the lease if an answer was lost and the next call is not allowed', async (t) => {
  const lost = new EllipsisError('lost', { kind: 'transient', status: 502, maybeApplied: true })
  const refused = new EllipsisError('refused', {
    kind: 'refused',
    status: 400,
    maybeApplied: false,
  })
  const run = async (errors: Error[]) => {
    const parts = begin({
      call: () => Promise.reject(errors.shift() ?? new Error('a further call')),
    })
    await t.rejects(parts.run(), { code: 'temporarily_unavailable' })
    return parts.released.length
  }
  const notAllowed = new BrokerError('temporarily_unavailable')
  t.equal(await run([lost, refused, notAllowed]), 0)
  t.equal(await run([refused, notAllowed]), 1)
})
