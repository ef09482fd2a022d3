import t from 'tap'
import { buildBroker, exchange, postForm } from '../../helper.ts'
import { addOfflineApp, callApi, connectUser, getAppToken, swapForApp } from './begin.ts'

const DAY_MS = 86_400_000

/** The sweep moves in steps of a week. */
async function passDays(broker: Awaited<ReturnType<typeof buildBroker>>, days: number) {
  for (let passed = 0; passed < days; passed += 7) {
    broker.clock.advance(7 * DAY_MS)
    await broker.services.sweeper.sweep()
  }
}

t.test('a grant that nobody used for a year still works without its user', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const online = await addOfflineApp(broker, { offline: false })
  const form = { external_id: 'user-1' }
  const { grantId, brokerToken } = await connectUser(broker, app, { form })
  const other = await connectUser(broker, online, { user: 'bo' })
  await broker.services.sweeper.sweep()
  await passDays(broker, 371)
  const { store } = broker.services
  t.equal(await store.getGrant(other.grantId), undefined, 'of an app without --offline: deleted')
  const grant = await store.getGrant(grantId)
  t.match(grant, { revokedAt: null, externalId: 'user-1' })
  t.ok(Number(grant?.expiresAtSeconds) * 1000 < broker.clock.now(), 'no token becomes valid again')

  const token = await getAppToken(broker, app)
  t.match(await swapForApp(broker, token, grantId), { status: 200 })
  t.match(await callApi(broker, token, '?external_id=user-1'), {
    body: { grants: [{ grant_id: grantId, status: 'active', reconnect_url: null }] },
  })
  const swap = {
    ...{ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', ...app.credentials },
    subject_token: brokerToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  }
  const expired = await postForm(`${broker.url}/oauth/token`, swap)
  t.match(expired, { status: 400, body: { error: 'invalid_request' } }, 'the JWT has expired')
  t.equal((await swapForApp(broker, token, grantId)).status, 200, 'and its use revokes nothing')

  await broker.services.apps.set(app.app.id, { offline: false }, 'test')
  await passDays(broker, 70)
  t.equal(await store.getGrant(grantId), undefined, 'the app lost --offline')
})

t.test('the grant lifetime of the app ends it', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker, { grantLifetimeSeconds: 90 * 86_400 })
  const { grantId } = await connectUser(broker, app)
  await broker.services.sweeper.sweep()
  await passDays(broker, 84)
  const swap = async () => swapForApp(broker, await getAppToken(broker, app), grantId)
  t.equal((await swap()).status, 200)
  broker.clock.advance(7 * DAY_MS)
  const ended = await swap()
  t.match(ended, { status: 401, body: { error: 'invalid_token', reconnect_url: /connect/ } })
  const token = await getAppToken(broker, app)
  t.match(await callApi(broker, token, '?status=revoked'), {
    body: { grants: [{ grant_id: grantId, reconnect_url: /connect/ }] },
  })
  t.strictSame((await callApi(broker, token, '?status=active')).body.grants, [])
  await passDays(broker, 70)
  t.equal(await broker.services.store.getGrant(grantId), undefined, 'deleted a month later')
})

t.test('a revoked grant stays visible for a month', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const { grantId } = await connectUser(broker, app)
  await broker.services.sweeper.sweep()
  await passDays(broker, 105)
  const token = await getAppToken(broker, app)
  await callApi(broker, token, `/${grantId}`, { method: 'DELETE' })
  await passDays(broker, 14)
  t.match(await broker.services.store.getGrant(grantId), { id: grantId })
  await passDays(broker, 28)
  t.equal(await broker.services.store.getGrant(grantId), undefined)
})

t.test('a public app at the same broker works as before', async (t) => {
  const broker = await buildBroker(t)
  const { app } = await addOfflineApp(broker, { confidential: false, offline: false })
  const user = { app, credentials: { client_id: app.id, client_secret: '' } }
  const redirect = { redirect_uri: app.redirectUris[0] ?? '' }
  const { brokerToken } = await connectUser(broker, user, { form: redirect })
  t.equal((await exchange(broker, brokerToken)).status, 200)
})
