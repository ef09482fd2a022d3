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
import { Secret } from '../../server/secret.ts'

const connection = {
  id: 'con',
  status: 'active',
  generation: 1,
  refreshToken: Buffer.from('sealed'),
  accessToken: null,
  failures: 0,
  retryAt: null,
  doubt: null,
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

/** An attempt whose lease and call end as a test says; sleeping takes no time. */
function begin(parts: {
  take?: () => Promise<Lease | null>
  check?: () => void
  call?: () => Promise<object>
  incident?: boolean
  stored?: Partial<Connection>
}) {
  const counted: string[] = []
  const freed: Lease[] = []
  const lease = (extend = async () => undefined): Lease => ({
    connection,
    owner: 'me',
    doubt: null,
    extend,
    check: parts.check ?? (() => undefined),
  })
  const attempt = createRefreshAttempt({
    store: { getConnection: async () => ({ ...connection, ...parts.stored }) } as unknown as Store,
    vault: { open: () => new Secret('refresh') } as unknown as Vault,
    ellipsis: { refresh: parts.call ?? (async () => ({})) } as never,
    breaker: { admits: () => true, run: async (_who, call) => call(), state: () => 'closed' },
    leases: {
      take: parts.take ?? (async () => lease()),
      free: async (one) => void freed.push(one),
      listLeft: async () => [],
    },
    outcomes: {
      keep: async () => fresh,
      keepRefreshToken: () => Promise.reject(new Error('not here')),
      fail: (_lease, error) => Promise.reject(error),
      isIncident: () => parts.incident === true,
    },
    upstreamHealth: createUpstreamHealth(),
    clock: { now: () => 0, steady: () => 0, sleep: async () => undefined },
    random: randomBytes,
    usage: { count: (kind, _appId, outcome) => void counted.push(`${kind} ${outcome}`) },
  })
  return { run: () => attempt('con', { requirement, called: false }), lease, counted, freed }
}

t.test('a lease that another holds on to is waited for, and not for ever', async (t) => {
  let asked = 0
  const { run, counted } = begin({ take: async () => (asked++, null) })
  await t.rejects(run(), { code: 'temporarily_unavailable', details: { retryAfter: 2 } })
  t.equal(asked, 130)
  t.strictSame(counted, [], 'no call was made')
})

t.test('whoever was paused before the call begins anew, and makes one call', async (t) => {
  let [checks, calls] = [0, 0]
  const { run, counted } = begin({
    check: () => {
      if (checks++ === 0) throw new LeaseLostError()
    },
    call: async () => (calls++, {}),
  })
  t.equal(await run(), fresh)
  t.strictSame([checks, calls], [2, 1])
  t.strictSame(counted, ['refresh ok'])
})

t.test('where there is no refresh token, nothing is asked', async (t) => {
  const take = () => Promise.reject(new Error('not here'))
  const { run, counted } = begin({ stored: { refreshToken: null }, take })
  await t.rejects(run(), { code: 'needs_reconnect' })
  t.strictSame(counted, [])
})

t.test('while the broker’s own client is refused nothing is asked', async (t) => {
  const { run } = begin({ incident: true, take: () => Promise.reject(new Error('not here')) })
  await t.rejects(run(), { code: 'server_error' })
})

t.test('whose lease is lost between two calls reads again, and tells of no failure', async (t) => {
  let calls = 0
  const down = new EllipsisError('down', { kind: 'transient', status: 503, maybeApplied: false })
  const lost = async () => Promise.reject(new LeaseLostError())
  let taken = 0
  const parts = begin({
    call: async () => (calls++ === 0 ? Promise.reject(down) : {}),
    take: async () => (taken++ === 0 ? parts.lease(lost) : parts.lease()),
  })
  t.equal(await parts.run(), fresh)
  t.equal(taken, 2)
  t.strictSame(parts.counted, ['refresh ok'])
})

t.test(
  'what nobody foresaw leaves the lease as it is, so that the next one is warned',
  async (t) => {
    const { run, counted, freed } = begin({ call: () => Promise.reject(new Error('a bug')) })
    await t.rejects(run(), /a bug/)
    t.strictSame(counted, ['refresh server_error'])
    t.strictSame(freed, [])
  },
)
