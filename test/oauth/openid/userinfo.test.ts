import t from 'tap'
import { PER_NETWORK } from '../../../server/connections/upstream-budget.ts'
import {
  addApp,
  addAppWithSecret,
  authorize,
  buildBroker,
  connect,
  exchange,
} from '../../helper.ts'
import { testClock } from '../../clock.ts'
import { watchCommits } from '../../commits.ts'
import { createProver } from '../dpop/prover.ts'
import { signIn, userInfo } from './begin.ts'

const DAY_MS = 86_400_000

t.test('the userinfo endpoint answers by GET and POST, in header and form', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const secret = clientSecret?.reveal()
  const { claims, accessToken } = await signIn(broker, app, { secret })
  const expected = { sub: claims?.sub, preferred_username: 'amelie' }
  const changed = watchCommits(t, broker.dataDir)
  const byGet = await userInfo(broker, accessToken)
  t.equal(byGet.status, 200)
  t.strictSame(byGet.body, expected)
  t.equal(byGet.headers.get('cache-control'), 'no-store')
  const headers = { authorization: `Bearer ${accessToken}` }
  t.strictSame((await userInfo(broker, '', { method: 'POST', headers })).body, expected)
  const form = new URLSearchParams({ access_token: accessToken })
  t.strictSame(
    (await userInfo(broker, '', { method: 'POST', headers: {}, body: form })).body,
    expected,
  )
  t.notOk(changed(), 'nothing is written')

  const { accessToken: nameless } = await signIn(broker, app, {
    ...{ secret, parameters: { scope: 'openid projects' } },
  })
  t.strictSame((await userInfo(broker, nameless)).body, { sub: claims?.sub })
})

t.test('refusals have the challenge of RFC 6750', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken, connectionId } = await connect(broker, app)
  const missing = await userInfo(broker, brokerToken)
  t.match(missing, { status: 403, body: { error: 'insufficient_scope' } })
  t.equal(missing.headers.get('www-authenticate'), 'Bearer error="insufficient_scope"')
  const { accessToken } = await signIn(broker, app)
  for (const token of ['x', `${accessToken}x`, accessToken.replace(/^e/, 'f')]) {
    const refused = await userInfo(broker, token)
    t.match(refused, { status: 401, body: { error: 'invalid_token' } })
    t.equal(refused.headers.get('www-authenticate'), 'Bearer error="invalid_token"')
  }
  t.equal((await userInfo(broker, '', { headers: {} })).status, 401)
  await broker.services.connections.revoke(connectionId, 'test')
  t.equal((await userInfo(broker, accessToken)).status, 401)
})

t.test('a superseded token, and that of a grant that is over, identify nobody', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { accessToken } = await signIn(broker, app)
  broker.clock.advance(16 * DAY_MS)
  const renewed = String((await exchange(broker, accessToken)).body.broker_token)
  t.equal((await userInfo(broker, accessToken)).status, 200, 'until the newer one is used')
  t.equal((await userInfo(broker, renewed)).status, 200)
  t.equal((await exchange(broker, renewed)).status, 200)
  broker.clock.advance(301_000)
  t.equal((await userInfo(broker, accessToken)).status, 401)
  t.equal((await userInfo(broker, renewed)).status, 200, 'asking does not revoke the grant')
  await broker.services.apps.set(app.id, { grantLifetimeSeconds: 86_400 }, 'test')
  t.equal((await userInfo(broker, renewed)).status, 401)
})

t.test('a token that is bound to a key needs its proof', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { dpop: 'required' })
  const prover = await createProver(broker)
  const { returned, verifier, parameters } = await authorize(broker, app, {
    parameters: { scope: 'openid profile' },
  })
  const { body } = await prover.post('/oauth/token', {
    ...{ grant_type: 'authorization_code', client_id: app.id, code_verifier: verifier },
    ...{ code: returned.searchParams.get('code') ?? '', redirect_uri: parameters.redirect_uri },
  })
  const accessToken = String(body.access_token)
  t.equal((await userInfo(broker, accessToken)).status, 401, 'as a bearer token')
  const dpop = await prover.prove('/oauth/userinfo', accessToken, { claims: { htm: 'GET' } })
  const headers = { authorization: `DPoP ${accessToken}`, dpop }
  t.match(await userInfo(broker, '', { headers }), {
    status: 200,
    body: { preferred_username: 'amelie' },
  })
  t.equal((await userInfo(broker, '', { headers })).status, 401, 'a proof works once')
})

t.test('Ellipsis Drive’s access token identifies its account, if that is connected', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { tokens: 'ellipsis' })
  const { claims, accessToken } = await signIn(broker, app)
  t.ok(broker.standIn.issued().includes(accessToken))
  t.strictSame((await userInfo(broker, accessToken)).body, {
    ...{ sub: claims?.sub, preferred_username: 'amelie' },
  })
  const [connection] = await Array.fromAsync(broker.services.connections.all())
  await broker.services.connections.revoke(connection?.id ?? '', 'test')
  t.equal((await userInfo(broker, accessToken)).status, 401)

  broker.standIn.addFault({ endpoint: 'account', kind: 'status', status: 503, times: 1 })
  t.equal((await userInfo(broker, 'another')).status, 503)
})

t.test('made-up tokens do not use up what Ellipsis Drive allows the broker', async (t) => {
  const clock = testClock()
  clock.stop()
  const broker = await buildBroker(t, { runtime: { clock } })
  const app = await addApp(broker, { tokens: 'ellipsis' })
  const { claims, accessToken } = await signIn(broker, app)
  const before = broker.standIn.calls.account
  const statuses = new Set<number>()
  for (let sent = 0; sent < 2 * PER_NETWORK.size; sent++) {
    const { status, headers } = await userInfo(broker, `made-up-${sent}`)
    statuses.add(status)
    if (status === 429) t.equal(headers.get('retry-after'), '2')
  }
  t.strictSame([...statuses], [401, 429])
  t.equal(broker.standIn.calls.account - before, PER_NETWORK.size)

  clock.advance(2000)
  const known = await userInfo(broker, accessToken)
  t.match(known, { status: 200, body: { sub: claims?.sub } }, 'a valid token costs nothing')
  for (let sent = 0; sent < 10; sent++) {
    t.equal((await userInfo(broker, accessToken)).status, 200)
  }
  const calls = broker.standIn.calls.account - before
  t.equal(calls, PER_NETWORK.size + 1, 'Ellipsis Drive is asked once about a valid token')
  clock.advance(61_000)
  t.equal((await userInfo(broker, accessToken)).status, 200)
  t.equal(broker.standIn.calls.account - before, calls + 1)
})

t.test('what no header can carry is not sent to Ellipsis Drive', async (t) => {
  const broker = await buildBroker(t)
  const before = broker.standIn.calls.account
  for (const token of ['a\r\nx-header: b', 'a b', 'ä', 'a'.repeat(5000)]) {
    const body = new URLSearchParams({ access_token: token })
    const refused = await userInfo(broker, '', { method: 'POST', headers: {}, body })
    t.match(refused, { status: 401, body: { error: 'invalid_token' } })
  }
  t.equal(broker.standIn.calls.account, before)
})

t.test('Ellipsis Drive’s access token identifies nobody without the scope openid', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { tokens: 'ellipsis' })
  const other = await addApp(broker, { name: 'Other' })
  const withoutOpenid = { parameters: { scope: 'projects' } }
  const { accessToken } = await signIn(broker, app, withoutOpenid)
  await signIn(broker, other)
  const refused = await userInfo(broker, accessToken)
  t.match(refused, { status: 403, body: { error: 'insufficient_scope' } })

  const { claims } = await signIn(broker, app, { parameters: { scope: 'openid projects' } })
  t.strictSame((await userInfo(broker, accessToken)).body, { sub: claims?.sub })
  const [connection] = await Array.fromAsync(broker.services.connections.all())
  await broker.services.connections.revokeApp(connection?.id ?? '', app.id, 'test')
  t.equal((await userInfo(broker, accessToken)).status, 403, 'after the app is revoked')
})
