/** Concurrent requests for the same thing, and writes that another writer preceded. */
import t from 'tap'
import type { Store } from '../../db/store.ts'
import { addApp, authorize, buildBroker, connect, exchange, postForm } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { addDevice, allowDevice } from '../oauth/device/begin.ts'
import { Secret } from '../../server/secret.ts'

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

/** Simulates another writer: the method returns `false` the next `times` times. */
function lose(broker: TestBroker, method: keyof Store, times: number): void {
  const { store } = broker.services
  const original = store[method] as (...args: unknown[]) => Promise<unknown>
  let remaining = times
  const losing = (...args: unknown[]) =>
    remaining-- > 0 ? Promise.resolve(false) : original(...args)
  Object.assign(store, { [method]: losing })
}

/** Another request begins a grant of its own by the same code just before, once. */
function redeemFirst({ services: { store } }: TestBroker): void {
  const { addGrant } = store
  store.addGrant = async (grant, options) => {
    store.addGrant = addGrant
    await addGrant({ ...grant, id: 'grant_other', jti: 'other' }, options)
    return addGrant(grant, options)
  }
}

const codeOf = (returned: URL) => returned.searchParams.get('code') ?? ''

t.test(
  'a code that is redeemed concurrently works at most once, and its grant is revoked',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const { returned, verifier } = await authorize(broker, app)
    const form = {
      grant_type: 'authorization_code',
      client_id: app.id,
      code: codeOf(returned),
      code_verifier: verifier,
    }
    const answers = await Promise.all(
      [1, 2, 3].map(() => postForm(`${broker.url}/oauth/token`, form)),
    )
    const good = answers.filter(({ status }) => status === 200)
    t.equal(good.length, 1)
    t.equal(answers.filter(({ body }) => body.error === 'invalid_grant').length, 2)
    t.equal((await exchange(broker, String(good[0]?.body.access_token))).status, 401)
  },
)

t.test(
  'a code that another request redeems first is refused, and its grant is revoked',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const { returned, verifier } = await authorize(broker, app)
    const form = { grant_type: 'authorization_code', client_id: app.id, code: codeOf(returned) }
    redeemFirst(broker)
    const answer = await postForm(`${broker.url}/oauth/token`, { ...form, code_verifier: verifier })
    t.match(answer, {
      status: 400,
      body: { error_description: /used before; its grant is revoked/ },
    })
    t.type((await broker.services.store.getGrant('grant_other'))?.revokedAt, 'number')
  },
)

t.test(
  'a device code that another request redeems first is refused, and its grant is revoked',
  async (t) => {
    const broker = await buildBroker(t)
    const { start, poll } = await addDevice(broker)
    const { body } = await start()
    await allowDevice(broker, body.user_code)
    redeemFirst(broker)
    t.match(await poll(body.device_code), {
      status: 400,
      body: { error: 'invalid_grant', error_description: /used before; its grant is revoked/ },
    })
    t.type((await broker.services.store.getGrant('grant_other'))?.revokedAt, 'number')
  },
)

t.test('a device code is refused if its connection is revoked while it is redeemed', async (t) => {
  const broker = await buildBroker(t)
  const { store, deviceFlow } = broker.services
  const { app, start } = await addDevice(broker)
  const { body } = await start()
  await allowDevice(broker, body.user_code)
  const deviceCode = new Secret(String(body.device_code))
  const poll = { app, deviceCode, proof: null, address: '::1' }
  const revoke = async ({ connectionId }: { connectionId: string }) =>
    void (await store.revokeConnection({ id: connectionId, now: 1, events: [] }))
  await t.rejects(deviceFlow.poll(poll, revoke), {
    code: 'invalid_grant',
    message: /unknown/,
  })
})

t.test('a code that expires while it is redeemed is refused', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { returned, verifier } = await authorize(broker, app)
  const form = { grant_type: 'authorization_code', client_id: app.id, code: codeOf(returned) }
  const redeem = () => postForm(`${broker.url}/oauth/token`, { ...form, code_verifier: verifier })
  lose(broker, 'addGrant', 1)
  t.match(await redeem(), { status: 400, body: { error_description: 'This code has expired.' } })
  t.equal((await redeem()).status, 200)
})

t.test('concurrent renewals return the same token', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const form = { subject_token: brokerToken, subject_token_type: JWT, requested_token_type: JWT }
  const renew = () => postForm(`${broker.url}/oauth/token`, { grant_type: TOKEN_EXCHANGE, ...form })
  const answers = await Promise.all([1, 2, 3, 4].map(renew))
  t.same(
    answers.map(({ status }) => status),
    [200, 200, 200, 200],
  )
  t.equal(new Set(answers.map(({ body }) => body.access_token)).size, 1)
  t.not(answers[0]?.body.access_token, brokerToken)
  t.equal(
    (await renew()).body.access_token,
    answers[0]?.body.access_token,
    'the same until it is used',
  )
})

t.test('a renewal returns the token of another renewal that came first', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken, grantId } = await connect(broker, await addApp(broker))
  const { store } = broker.services
  const { renewGrant } = store
  store.renewGrant = async (renewal) => {
    store.renewGrant = renewGrant
    await renewGrant({ ...renewal, jti: 'theirs' })
    return renewGrant(renewal)
  }
  const form = { subject_token: brokerToken, subject_token_type: JWT, requested_token_type: JWT }
  const url = `${broker.url}/oauth/token`
  const { body } = await postForm(url, { grant_type: TOKEN_EXCHANGE, ...form })
  const payload = Buffer.from(String(body.access_token).split('.')[1] ?? '', 'base64url')
  t.match(JSON.parse(payload.toString()), { jti: 'theirs' })
  t.match(await broker.services.store.getGrant(grantId), { jti: 'theirs', jtiUsedAt: null })
})

t.test('a renewal that comes too late returns no token', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  lose(broker, 'renewGrant', 2)
  const form = { subject_token: brokerToken, subject_token_type: JWT, requested_token_type: JWT }
  const renewed = await postForm(`${broker.url}/oauth/token`, {
    grant_type: TOKEN_EXCHANGE,
    ...form,
  })
  t.match(renewed, { status: 400, body: { error: 'invalid_request' } })
  broker.clock.advance(16 * 86_400_000)
  const swapped = await exchange(broker, brokerToken)
  t.equal(swapped.status, 200, 'a swap succeeds without a renewal')
  t.notOk('broker_token' in swapped.body)
})

t.test('a connection that changes while it is stored is read again, a few times', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  lose(broker, 'saveConnection', 2)
  t.ok(codeOf((await authorize(broker, app)).returned))
  lose(broker, 'saveConnection', 99)
  const { returned } = await authorize(broker, app)
  t.equal(returned.searchParams.get('error'), 'server_error')
})

t.test('a user can connect although the account stays unknown', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  broker.standIn.addFault({ endpoint: 'account', kind: 'status', status: 500, times: 99 })
  const { brokerToken, connectionId } = await broker.clock.hurry(connect(broker, app))
  t.equal((await exchange(broker, brokerToken)).status, 200)
  const { connection } = await broker.services.connections.show(connectionId)
  t.match(connection, { accountId: null, username: '' })
  t.ok(broker.logged.some((line) => line.includes('did not provide the account')))
})

t.test('a code that brings no refresh token is a server_error for the app', async (t) => {
  const stripped: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init)
    const json = (await answer.json()) as Record<string, unknown>
    return Response.json({ ...json, refresh_token: undefined }, { status: answer.status })
  }
  const broker = await buildBroker(t, { runtime: { fetch: stripped } })
  const { returned } = await authorize(broker, await addApp(broker))
  t.equal(returned.searchParams.get('error'), 'server_error')
  t.same(await Array.fromAsync(broker.services.connections.all()), [])
})
