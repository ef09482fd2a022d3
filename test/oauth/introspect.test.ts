import t from 'tap'
import type { Test } from 'tap'
import { addApp, addAppWithSecret, authorize, buildBroker, connect, postForm } from '../helper.ts'
import { watchCommits } from '../commits.ts'
import { JWT, swapAtToken } from './swap/begin.ts'

/** A confidential app with a connected user, and its introspection requests. */
async function begin(t: Test) {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const own = { client_id: app.id, client_secret: clientSecret?.reveal() ?? '' }
  const { returned, verifier } = await authorize(broker, app)
  const { body } = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'authorization_code', ...own, code_verifier: verifier },
    code: returned.searchParams.get('code') ?? '',
  })
  const introspect = (form: Record<string, string>, headers = {}) =>
    postForm(`${broker.url}/oauth/introspect`, form, headers)
  return { broker, app, own, introspect, brokerToken: String(body.access_token) }
}

const inactive = { active: false }

t.test('a confidential app introspects its broker token, and nothing is written', async (t) => {
  const { broker, own, introspect, brokerToken } = await begin(t)
  const changed = watchCommits(t, broker.dataDir)
  const answer = await introspect({ ...own, token: brokerToken, token_type_hint: 'refresh_token' })
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  const claims = JSON.parse(
    Buffer.from(brokerToken.split('.')[1] ?? '', 'base64url').toString(),
  ) as object
  t.strictSame(answer.body, { ...claims, active: true, token_type: 'Bearer' })
  const basic = Buffer.from(`${own.client_id}:${own.client_secret}`).toString('base64')
  const byBasic = await introspect({ token: brokerToken }, { authorization: `Basic ${basic}` })
  t.strictSame(byBasic.body, answer.body)
  t.notOk(changed(), 'no jti was marked as used')
})

t.test('tokens of another app and unknown tokens are not active', async (t) => {
  const { broker, own, introspect, brokerToken } = await begin(t)
  const { brokerToken: others } = await connect(broker, await addApp(broker))
  const accessToken = (await swapAtToken(broker, others)).body.access_token as string
  for (const token of [others, accessToken, 'nonsense', `${brokerToken}x`, own.client_secret]) {
    t.strictSame((await introspect({ ...own, token })).body, inactive)
  }
})

t.test('expired, superseded and revoked tokens are not active', async (t) => {
  const { broker, app, own, introspect, brokerToken } = await begin(t)
  const isActive = async (token: string) => (await introspect({ ...own, token })).body.active
  const renew = await swapAtToken(broker, brokerToken, { ...own, requested_token_type: JWT })
  const next = String(renew.body.access_token)
  t.equal(await isActive(brokerToken), true, 'until the newer one is used')
  t.equal(await isActive(next), true)
  await swapAtToken(broker, next, own)
  t.equal(await isActive(brokerToken), true, 'for five more minutes')
  broker.clock.advance(301_000)
  t.equal(await isActive(brokerToken), false)
  t.equal(await isActive(next), true, 'introspecting a superseded token does not revoke the grant')

  const { connections, keys, store } = broker.services
  const [connection] = await Array.fromAsync(connections.all())
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 100 })
  broker.clock.advance(3_600_000)
  t.equal((await swapAtToken(broker, next, own)).status, 403)
  t.equal(await isActive(next), true, 'the grant is valid; the connection needs a reconnect')
  await connections.revoke(connection?.id ?? '', 'test')
  t.equal(await isActive(next), false)
  t.ok(await store.getApp(app.id))
  const { kid } = await keys.current('EdDSA')
  await keys.revoke(kid, 'test')
  t.equal(await isActive(next), false)
  broker.clock.advance(31 * 86_400_000)
  t.equal(await isActive(next), false)
})

t.test('introspection requires a confidential app with its secret', async (t) => {
  const { broker, own, introspect, brokerToken: token } = await begin(t)
  const open = await addApp(broker)
  for (const client of [
    {},
    { client_id: own.client_id },
    { ...own, client_secret: 'x' },
    { client_id: open.id },
    { client_id: 'app_unknown', client_secret: 'x' },
  ]) {
    const answer = await introspect({ token, ...client })
    t.match(answer, { status: 401, body: { error: 'invalid_client' } })
    t.match(answer.headers.get('www-authenticate'), /^Basic/)
  }
  t.match(await introspect(own), { status: 400, body: { error: 'invalid_request' } })
  t.equal((await fetch(`${broker.url}/oauth/introspect?token=${token}`)).status, 405)
})

t.test('an error of the broker is a server_error', async (t) => {
  const { broker, own, introspect, brokerToken: token } = await begin(t)
  const { getSwapState } = broker.services.store
  t.teardown(() => Object.assign(broker.services.store, { getSwapState }))
  broker.services.store.getSwapState = () => Promise.reject(new Error('the disk is gone'))
  t.match(await introspect({ ...own, token }), { status: 500, body: { error: 'server_error' } })
})
