import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Connection, Store } from '../../db/store.ts'
import type { Lease } from '../../server/refresh/lease.ts'
import { LeaseLostError } from '../../server/refresh/lease.ts'
import type { Log } from '../../server/log.ts'
import { createRefreshOutcomes } from '../../server/refresh/refresh-outcome.ts'
import { createUpstreamHealth } from '../../server/refresh/upstream-health.ts'
import type { Vault } from '../../server/crypto/vault.ts'
import { EllipsisError } from '../../server/ellipsis/errors.ts'
import { Secret } from '../../server/secret.ts'
import { virtualClock } from '../virtual-clock.ts'

const error = (kind: EllipsisError['kind'], status = 400) =>
  new EllipsisError(`it is ${kind}`, { kind, status, maybeApplied: false })

const lease = (id = 'con', fields: Partial<Connection> = {}): Lease =>
  ({
    connection: {
      id,
      generation: 1,
      status: 'active',
      failures: 0,
      rejections: 0,
      restoredFrom: null,
      staleReason: null,
      ...fields,
    },
    owner: 'me',
    staleReason: null,
  }) as unknown as Lease

/** Outcomes with a store that records what is written; `superseded`: another process wrote first. */
function begin(options: { superseded?: boolean } = {}) {
  const { clock, advance } = virtualClock()
  const written: object[] = []
  const counted: string[] = []
  const logged: string[] = []
  const write = async (values: object) => {
    written.push(values)
    return options.superseded !== true
  }
  const log = (_: object, line: string) => logged.push(line)
  const upstreamHealth = createUpstreamHealth()
  const outcomes = createRefreshOutcomes({
    store: { saveTokens: write, saveFailure: write } as unknown as Store,
    vault: { seal: (_: string, secret: Secret) => secret.reveal() } as unknown as Vault,
    unsaved: { keep: () => undefined, drop: () => undefined },
    upstreamHealth,
    clock,
    random: randomBytes,
    log: { error: log, warn: () => undefined } as unknown as Log,
    refreshes: { inc: ({ result }) => counted.push(result) },
  })
  return { outcomes, upstreamHealth, advance, written, counted, logged }
}

const tokens = {
  accessToken: new Secret('access'),
  refreshToken: new Secret('new'),
  expiresAt: 9,
  fetchedAt: 1,
  scope: null,
}

t.test('saving fails with LeaseLostError if another process wrote first', async (t) => {
  const { outcomes, counted } = begin({ superseded: true })
  for (const ended of [
    outcomes.saveTokens(lease(), new Secret('used'), tokens),
    outcomes.saveFailure(lease(), error('transient', 503), false),
  ]) {
    t.ok((await ended.catch((error: unknown) => error)) instanceof LeaseLostError)
  }
  t.strictSame(counted, ['superseded', 'superseded'])
})

t.test('errors that are not from Ellipsis Drive are not stored', async (t) => {
  const { outcomes, written } = begin()
  await t.rejects(outcomes.saveFailure(lease(), new Error('a bug'), false), /a bug/)
  t.strictSame(written, [])
})

t.test('a refused previous token is dropped; other failures keep it', async (t) => {
  const { outcomes, written } = begin()
  await t.rejects(outcomes.saveFailure(lease(), error('refused'), true), {
    code: 'needs_reconnect',
  })
  await t.rejects(outcomes.saveFailure(lease(), error('transient', 503), true))
  t.match(written, [{ dropPrevious: true }, { dropPrevious: false }])
})

t.test(
  'a refusal is not believed while all are refused, and the app is told to wait',
  async (t) => {
    const { outcomes, upstreamHealth, written } = begin()
    for (let count = 0; count < 5; count++) upstreamHealth.recordFailure(`con${count}`, 'refused')
    await t.rejects(outcomes.saveFailure(lease(), error('refused'), false), {
      code: 'temporarily_unavailable',
      details: { retryAfter: 30 },
    })
    t.match(written, [{ status: 'active' }])
  },
)

t.test(
  'calls are paused when the broker’s own client is refused for two connections',
  async (t) => {
    const { outcomes, upstreamHealth, advance, logged } = begin()
    const fail = (id: string) =>
      t.rejects(outcomes.saveFailure(lease(id), error('misconfigured'), false), {
        code: 'server_error',
      })
    await fail('one')
    t.equal(outcomes.isClientRefused(), false)
    await fail('two')
    t.equal(outcomes.isClientRefused(), true)
    t.strictSame(logged, [], 'one line in the log is enough for all connections')
    await advance(5000)
    t.equal(outcomes.isClientRefused(), false)
    upstreamHealth.recordSuccess('other')
    await fail('one')
    t.equal(outcomes.isClientRefused(), false, 'other connections succeed: it is not the client')
  },
)

t.test(
  'a refresh token without an access token is stored, also if no access token was stored before',
  async (t) => {
    const { outcomes, written } = begin()
    const unusable = error('transient', 200)
    const bare = lease('con', { accessToken: null })
    await t.rejects(
      outcomes.saveRefreshToken(bare, new Secret('used'), unusable, new Secret('new')),
      {
        code: 'temporarily_unavailable',
      },
    )
    t.match(written, [
      {
        tokens: { refreshToken: 'new', accessToken: '', accessTokenExpiresAt: 0 },
        previousRefreshToken: 'used',
        failure: { lastError: 'it is transient' },
      },
    ])
  },
)
