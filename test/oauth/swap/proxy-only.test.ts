/** Apps that go through the proxy get no access token, in any way. */
import t from 'tap'
import { GRANT_IS_PROXY } from '../../../server/oauth/access-policy.ts'
import { addApp, authorize, buildBroker, connect, exchange, postForm } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { JWT, begin, swapAtToken } from './begin.ts'

const refresh = (broker: TestBroker, clientId: string, token: string) =>
  postForm(`${broker.url}/oauth/token`, {
    grant_type: 'refresh_token',
    client_id: clientId,
    refresh_token: token,
  })

/** Does any answer carry an access token that Ellipsis Drive has issued? */
const hasAccessToken = ({ standIn }: TestBroker, ...answers: { body: object }[]): boolean =>
  standIn.issued().some((token) => JSON.stringify(answers).includes(token))

t.test('the app’s access is the proxy', async (t) => {
  const { broker, app, brokerToken } = await begin(t, {}, { access: 'proxy' })
  const answers = [
    await exchange(broker, brokerToken),
    await exchange(broker, brokerToken, { force: true }),
    await swapAtToken(broker, brokerToken),
  ]
  for (const answer of answers) {
    t.match(answer, {
      status: 400,
      body: {
        error: 'unauthorized_client',
        error_description: `This app gets no access tokens: send its requests to ${broker.url}/drive instead.`,
      },
    })
    t.notOk('reconnect_url' in answer.body, 'connecting again does not help')
  }
  const refused = await refresh(broker, app.id, brokerToken)
  t.match(refused, { status: 400, body: { error: 'unauthorized_client' } })
  t.notOk(hasAccessToken(broker, ...answers, refused))
  t.ok(broker.logged.some((line) => line.includes('access_is_proxy')))

  const renewed = await swapAtToken(broker, brokerToken, { requested_token_type: JWT })
  t.match(renewed, { status: 200, body: { issued_token_type: JWT } }, 'renewal works')
  t.notOk(hasAccessToken(broker, renewed))
})

t.test('narrowing an app holds from the next request on', async (t) => {
  const { broker, app, brokerToken } = await begin(t)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  await broker.services.apps.set(app.id, { access: 'proxy' }, 'test')
  t.match(await exchange(broker, brokerToken), {
    status: 400,
    body: { error: 'unauthorized_client' },
  })
  await broker.services.apps.set(app.id, { access: 'token' }, 'test')
  t.equal((await exchange(broker, brokerToken)).status, 200, 'this user allowed tokens')
})

t.test('an app that is narrowed while it waits for a refresh gets no token', async (t) => {
  const { broker, app, brokerToken } = await begin(t)
  const { store, apps } = broker.services
  const read = store.getSwapState.bind(store)
  let reads = 0
  store.getSwapState = async (key) => {
    const state = await read(key)
    if (reads++ === 0) await apps.set(app.id, { access: 'proxy' }, 'test')
    return state
  }
  const answer = await exchange(broker, brokerToken, { force: true })
  t.match(answer, { status: 400, body: { error: 'unauthorized_client' } })
  t.notOk(hasAccessToken(broker, answer))
})

t.test('after widening, the user has to allow it', async (t) => {
  const { broker, app, brokerToken, connectionId } = await begin(t, {}, { access: 'proxy' })
  await broker.services.apps.set(app.id, { access: 'token', tokens: 'ellipsis' }, 'test')
  const answers = [
    await exchange(broker, brokerToken),
    await swapAtToken(broker, brokerToken),
    await refresh(broker, app.id, brokerToken),
  ]
  for (const answer of answers) {
    t.match(answer, {
      status: 400,
      body: {
        error: 'unauthorized_client',
        error_description: /allowed this app no access tokens.*connect again/,
        reconnect_url: `${broker.url}/connect/${app.id}?connection=${connectionId}`,
      },
    })
  }
  t.notOk(hasAccessToken(broker, ...answers))
  t.ok(broker.logged.some((line) => line.includes(GRANT_IS_PROXY)))
  await broker.services.apps.set(app.id, { tokens: 'broker' }, 'test')
  const again = await connect(broker, app)
  t.equal((await exchange(broker, again.brokerToken)).status, 200, 'the new grant')
  t.equal((await exchange(broker, brokerToken)).status, 400, 'the old grant stays as it was')
})

t.test('a code of the time before gives no access token', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { access: 'proxy' })
  const { returned, verifier, parameters } = await authorize(broker, app)
  await broker.services.apps.set(app.id, { access: 'token', tokens: 'ellipsis' }, 'test')
  const redeem = () =>
    postForm(`${broker.url}/oauth/token`, {
      grant_type: 'authorization_code',
      client_id: app.id,
      code: returned.searchParams.get('code') ?? '',
      redirect_uri: parameters.redirect_uri,
      code_verifier: verifier,
    })
  const refused = await redeem()
  t.match(refused, { status: 400, body: { error: 'unauthorized_client' } })
  t.notOk(hasAccessToken(broker, refused))
  await broker.services.apps.set(app.id, { tokens: 'broker' }, 'test')
  const redeemed = await redeem()
  t.match(redeemed, { status: 200, body: { token_type: 'Bearer' } }, 'the code was not used up')
  t.notOk(hasAccessToken(broker, redeemed))
})

t.test('a policy that is narrowed while a code is redeemed gives no access token', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { tokens: 'ellipsis' })
  const { returned, verifier, parameters } = await authorize(broker, app)
  const { refresher, apps } = broker.services
  const get = refresher.get.bind(refresher)
  refresher.get = async (...request) => {
    const token = await get(...request)
    await apps.set(app.id, { access: 'proxy', tokens: 'broker' }, 'test')
    return token
  }
  const answer = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  })
  t.match(answer, { status: 400, body: { error: 'unauthorized_client' } })
  t.notOk(hasAccessToken(broker, answer))
})
