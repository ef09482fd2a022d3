import { decodeJwt } from 'jose'
import t from 'tap'
import {
  addApp,
  addAppWithSecret,
  authorize,
  buildBroker,
  exchange,
  postForm,
} from '../../helper.ts'
import { swapAtToken, begin, JWT } from './begin.ts'

t.test('renewal on request, and by itself after half of the lifetime', async (t) => {
  const { broker, brokerToken } = await begin(t, {}, { tokenLifetimeSeconds: 86_400 })
  const renewed = await swapAtToken(broker, brokerToken, { requested_token_type: JWT })
  t.match(renewed.body, { issued_token_type: JWT, token_type: 'Bearer', expires_in: 86_400 })
  const second = String(renewed.body.access_token)
  const lost = await swapAtToken(broker, brokerToken, { requested_token_type: JWT })
  t.equal(lost.body.access_token, second, 'the same token after a lost answer')

  t.equal((await exchange(broker, brokerToken)).status, 200, 'the old token is still valid')
  t.equal((await exchange(broker, second)).status, 200)
  t.equal(
    (await exchange(broker, brokerToken)).status,
    200,
    'for five minutes after the first use of the new one',
  )

  broker.clock.advance(44_000_000)
  const due = await exchange(broker, second)
  t.equal(due.status, 200)
  t.equal(due.body.broker_token_expires_in, 86_400)
  const third = String(due.body.broker_token)
  t.equal((await exchange(broker, second)).body.broker_token, third)
  t.equal((await exchange(broker, third)).status, 200)
  broker.clock.advance(301_000)
  t.equal(
    (await exchange(broker, second)).status,
    401,
    'used too late: the token may have been copied',
  )
  t.equal((await exchange(broker, third)).status, 401, 'so the grant is revoked')
  const { rows: events } = await broker.services.store.listEvents({ limit: 5 })
  t.match(events[0], { action: 'grant.revoked', details: /superseded/ })
})

t.test(
  'a renewed token’s lifetime counts from its issue, even if the write was slow',
  async (t) => {
    const { broker, brokerToken } = await begin(t, {}, { tokenLifetimeSeconds: 86_400 })
    const { store } = broker.services
    const { renewGrant } = store
    Object.assign(store, {
      renewGrant: (...given: Parameters<typeof renewGrant>) => {
        broker.clock.advance(3000)
        return renewGrant(...given)
      },
    })
    const { body } = await swapAtToken(broker, brokerToken, { requested_token_type: JWT })
    const { iat = 0, exp = 0 } = decodeJwt(String(body.access_token))
    t.equal(exp - iat, 86_400)
    t.equal(body.expires_in, 86_400)
  },
)

t.test('the use of a token that was superseded more than once revokes the grant', async (t) => {
  const { broker, brokerToken } = await begin(t)
  let latest = brokerToken
  for (let round = 0; round < 2; round++) {
    broker.clock.advance(2000)
    const { body } = await swapAtToken(broker, latest, { requested_token_type: JWT })
    latest = String(body.access_token)
    t.equal((await exchange(broker, latest)).status, 200)
  }
  t.equal((await exchange(broker, brokerToken)).status, 401, 'it was superseded twice')
  t.equal((await exchange(broker, latest)).status, 401)
  const { rows: events } = await broker.services.store.listEvents({ limit: 1 })
  t.match(events[0], { action: 'grant.revoked', details: /superseded/ })
})

t.test('an unused renewed token that is past half of its lifetime is replaced', async (t) => {
  const { broker, app, brokerToken } = await begin(t)
  const renew = async (token: string) =>
    (await swapAtToken(broker, token, { requested_token_type: JWT })).body
  await broker.services.apps.set(
    app.id,
    { tokenLifetimeSeconds: 3600 },
    { actor: 'test', address: '' },
  )
  const lost = await renew(brokerToken)
  broker.clock.advance(2 * 3600_000)
  const again = await renew(brokerToken)
  t.not(again.access_token, lost.access_token)
  t.equal(again.expires_in, 3600)
  t.equal((await renew(brokerToken)).access_token, again.access_token, 'it is the unused token now')
  t.equal((await exchange(broker, String(again.access_token))).status, 200)
  t.equal(
    (await exchange(broker, brokerToken)).status,
    200,
    'the first one is valid for five more minutes',
  )
})

t.test(
  'as a refresh token it is replaced when renewal is due, and returned otherwise',
  async (t) => {
    const settings = { tokens: 'ellipsis', tokenLifetimeSeconds: 86_400 } as const
    const broker = await buildBroker(t)
    const app = await addApp(broker, settings)
    const { returned, verifier } = await authorize(broker, app)
    const post = async (form: Record<string, string>) =>
      (await postForm(`${broker.url}/oauth/token`, { client_id: app.id, ...form })).body
    const code = returned.searchParams.get('code') ?? ''
    const first = await post({ grant_type: 'authorization_code', code, code_verifier: verifier })
    const refresh = (token: unknown, more: Record<string, string> = {}) =>
      post({ grant_type: 'refresh_token', refresh_token: String(token), ...more })
    t.equal((await refresh(first.refresh_token)).refresh_token, first.refresh_token)
    const longer = await refresh(first.refresh_token, { min_ttl: '3599' })
    t.ok(Number(longer.expires_in) >= 3590)
    broker.clock.advance(44_000_000)
    const due = await refresh(first.refresh_token)
    t.not(due.refresh_token, first.refresh_token)
    t.equal((await refresh(due.refresh_token)).refresh_token, due.refresh_token)
  },
)

const HALF_DAY_MS = 43_200_000

/** A broker whose app's token is past half its life, and a swap with the newer token in the answer. */
async function beginDue(t: Parameters<typeof begin>[0], settings = {}) {
  const begun = await begin(t, {}, { tokenLifetimeSeconds: 86_400, ...settings })
  const { broker } = begun
  broker.clock.stop()
  await exchange(broker, begun.brokerToken)
  broker.clock.advance(HALF_DAY_MS + 1000)
  const renew = async (token: string) => String((await exchange(broker, token)).body.broker_token)
  return { ...begun, renew }
}

t.test('after a minute, an unused newer token is followed by another one', async (t) => {
  const { broker, brokerToken, renew } = await beginDue(t)
  const first = await renew(brokerToken)
  broker.clock.advance(59_000)
  t.equal(await renew(brokerToken), first, 'repeated after a lost answer')
  broker.clock.advance(1000)
  const second = await renew(brokerToken)
  t.not(second, first)
  t.equal((await exchange(broker, second)).status, 200, 'the answer with the first one was lost')
  t.equal((await exchange(broker, brokerToken)).status, 200, 'as before, for five minutes')
  t.equal((await exchange(broker, first)).status, 401, 'both are used: there are two holders')
  t.equal((await exchange(broker, second)).status, 401, 'so the grant is revoked')
})

t.test('the first of several newer tokens stays usable until another one is used', async (t) => {
  const { broker, brokerToken, renew } = await beginDue(t)
  const first = await renew(brokerToken)
  broker.clock.advance(3600_000)
  const second = await renew(brokerToken)
  broker.clock.advance(3600_000)
  t.equal((await exchange(broker, first)).status, 200)
  t.equal((await exchange(broker, first)).status, 200)
  t.equal((await exchange(broker, second)).status, 401)
  t.equal((await exchange(broker, first)).status, 401)
})

t.test('two processes record the first use of two newer tokens at once', async (t) => {
  const { broker, brokerToken, renew } = await beginDue(t)
  const first = await renew(brokerToken)
  broker.clock.advance(3600_000)
  const second = await renew(brokerToken)
  const { useJti } = broker.services.store
  Object.assign(broker.services.store, {
    useJti: async (use: Parameters<typeof useJti>[0]) => {
      const { jti = '' } = decodeJwt(second)
      await useJti({ ...use, jti })
      return useJti(use)
    },
  })
  t.equal((await exchange(broker, first)).status, 401)
  t.equal((await exchange(broker, second)).status, 401)
})

t.test('a renewal on request waits if the last newer tokens were not used', async (t) => {
  const { broker, brokerToken, renew } = await beginDue(t)
  const ask = () => swapAtToken(broker, brokerToken, { requested_token_type: JWT })
  await renew(brokerToken)
  broker.clock.advance(600_000)
  await renew(brokerToken)
  broker.clock.advance(60_000)
  t.notMatch((await exchange(broker, brokerToken)).body, { broker_token: String })
  t.match(await ask(), { status: 429, body: { error: 'slow_down', retry_after: 540 } })
  broker.clock.advance(540_000)
  t.equal((await ask()).status, 200)
})

t.test('an app that authenticates gets the same newer token each time', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await addAppWithSecret(broker, {
    confidential: true,
    tokenLifetimeSeconds: 86_400,
  })
  const client = { client_id: app.id, client_secret: clientSecret?.reveal() ?? '' }
  const { returned, verifier } = await authorize(broker, app)
  const { body } = await postForm(`${broker.url}/oauth/token`, {
    ...{ ...client, grant_type: 'authorization_code', code_verifier: verifier },
    code: returned.searchParams.get('code') ?? '',
  })
  const renew = async () => {
    const fields = { ...client, requested_token_type: JWT }
    return (await swapAtToken(broker, String(body.access_token), fields)).body.access_token
  }
  const first = await renew()
  broker.clock.advance(600_000)
  t.equal(await renew(), first)
})

t.test('an expired token whose successor somebody else got revokes the grant', async (t) => {
  for (const isUsed of [true, false]) {
    const { broker, brokerToken, grantId, renew } = await beginDue(t)
    const newer = await renew(brokerToken)
    if (isUsed) await exchange(broker, newer)
    broker.clock.advance(HALF_DAY_MS)
    t.equal((await exchange(broker, brokerToken)).status, 401)
    t.not((await broker.services.store.getGrant(grantId))?.revokedAt, null)
    t.equal((await exchange(broker, newer)).status, 401)
  }
})

t.test('an expired token does not revoke the grant that nobody renewed', async (t) => {
  const { broker, brokerToken, grantId } = await beginDue(t)
  broker.clock.advance(HALF_DAY_MS)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  t.equal((await broker.services.store.getGrant(grantId))?.revokedAt, null)
})

t.test('a request that crosses the expiry revokes nothing', async (t) => {
  const { broker, brokerToken, grantId, renew } = await beginDue(t)
  broker.clock.advance(HALF_DAY_MS - 4000)
  const newer = await renew(brokerToken)
  broker.clock.advance(5000)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  t.equal((await broker.services.store.getGrant(grantId))?.revokedAt, null)
  t.equal((await exchange(broker, newer)).status, 200)
})
