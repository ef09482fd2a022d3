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
