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

function begin(attempt: RefreshAttempt, connection?: Partial<Connection>) {
  const store = { getConnection: async () => connection } as unknown as Store
  const vault = { open: () => token.value } as unknown as Vault
  const { clock } = virtualClock()
  return createRefresher({ attempt, store, vault, clock, onToken: () => undefined })
}

t.test('those who join before the call widen what it has to bring', async (t) => {
  let begun: (token: AccessToken) => void = () => undefined
  let run: { requirement: TokenRequirement } | undefined
  const refresher = begin((_id, given) => {
    run = given
    return new Promise((resolve) => (begun = resolve))
  })
  const asked = [
    requirement(),
    requirement({ fetchedAfter: 5, minTtlSeconds: 90 }),
    requirement({ evenIfPaused: true }),
    requirement({ fetchedAfter: 7 }),
    requirement({ fetchedAfter: 6 }),
  ].map((one) => refresher.get('con', one))
  t.match(run?.requirement, { minTtlSeconds: 90, fetchedAfter: 7, evenIfPaused: true })
  begun(token)
  t.strictSame(await Promise.all(asked), [token, token, token, token, token])
})

t.test(
  'what is refreshed for nobody is remembered as unused, until somebody takes it',
  async (t) => {
    let begun: (token: AccessToken) => void = () => undefined
    const needs: TokenRequirement[] = []
    const refresher = begin((_id, run) => {
      needs.push(run.requirement)
      return new Promise((resolve) => (begun = resolve))
    })
    t.equal(refresher.recall('con'), undefined)
    const renewals = [refresher.renew('con', 7), refresher.renew('con', 8)]
    t.match(needs, [{ minTtlSeconds: 0, fetchedAfter: 7, appId: null }], 'they share one refresh')
    begun(token)
    await Promise.all(renewals)
    t.match(refresher.recall('con'), { expiresAt: 9, used: false })
    t.equal(refresher.peek('con', 2), undefined, 'of another generation')
    t.match(refresher.recall('con'), { used: false })
    t.match(refresher.peek('con', 1), { expiresAt: 9 })
    t.match(refresher.recall('con'), { used: true })
  },
)

t.test('while Ellipsis Drive is away only a living connection’s token is handed out', async (t) => {
  const away = () => Promise.reject(new BrokerError('temporarily_unavailable'))
  const stored = { id: 'con', accessToken: Buffer.alloc(1), accessTokenFetchedAt: 0, generation: 1 }
  const get = (connection?: Partial<Connection>, fields: Partial<TokenRequirement> = {}) =>
    begin(away, connection).get('con', requirement(fields))
  const living = { ...stored, status: 'active', accessTokenExpiresAt: 9 } as const
  t.match(await get(living), { expiresAt: 9 })
  const unavailable = { code: 'temporarily_unavailable' }
  await t.rejects(get(living, { fetchedAfter: 0 }), unavailable, 'a fresh one was asked for')
  await t.rejects(get({ ...living, accessTokenExpiresAt: 0 }), unavailable, 'it has ended')
  await t.rejects(get({ ...living, accessToken: null }), unavailable, 'there is none')
  await t.rejects(get({ ...living, status: 'needs_reconnect' }), unavailable)
  await t.rejects(get(undefined), unavailable)
})
