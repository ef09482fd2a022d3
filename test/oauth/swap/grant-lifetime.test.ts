import { decodeJwt } from 'jose'
import t from 'tap'
import { addApp, buildBroker, connect, exchange } from '../../helper.ts'
import { begin, JWT, swapAtToken } from './begin.ts'

const DAY_SECONDS = 86_400
const DAY_MS = DAY_SECONDS * 1000
const settings = { tokenLifetimeSeconds: 2 * DAY_SECONDS, grantLifetimeSeconds: 5 * DAY_SECONDS }

t.test('a grant ends at its time however often its token is renewed', async (t) => {
  const { broker, app, brokerToken, connectionId } = await begin(t, {}, settings)
  broker.clock.stop()
  const { iat: begunAt = 0 } = decodeJwt(brokerToken)
  let latest = brokerToken
  for (let day = 1; day < 5; day++) {
    broker.clock.advance(DAY_MS)
    const { status, body } = await exchange(broker, latest)
    t.equal(status, 200, `day ${day}`)
    latest = (body.broker_token as string | undefined) ?? latest
    t.ok((decodeJwt(latest).exp ?? 0) <= begunAt + 5 * DAY_SECONDS)
  }
  const asked = await swapAtToken(broker, latest, { requested_token_type: JWT })
  t.equal(asked.status, 200)
  latest = String(asked.body.access_token)
  t.equal(decodeJwt(latest).exp, begunAt + 5 * DAY_SECONDS, 'no token outlives it')
  broker.clock.advance(DAY_MS - 5000)
  const last = await exchange(broker, latest)
  t.equal(last.status, 200)
  t.notMatch(last.body, { broker_token: String }, 'a newer token would end at the same time')

  broker.clock.advance(60_000)
  const ended = await exchange(broker, latest)
  t.match(ended, { status: 401, body: { error: 'invalid_token' } })
  const url = new URL(String(ended.body.reconnect_url))
  t.match(url.pathname, app.id)
  t.equal(url.searchParams.get('connection'), connectionId)
  t.match(await swapAtToken(broker, latest), {
    status: 400,
    body: { error: 'invalid_request', reconnect_url: url.href },
  })
  const again = await connect(broker, app)
  t.equal((await exchange(broker, again.brokerToken)).status, 200, 'the user connects again')
})

t.test('a shorter lifetime holds for older grants too, from the next swap on', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { ...settings, grantLifetimeSeconds: null })
  const { brokerToken, claims } = await connect(broker, app)
  t.equal(Number(claims.exp) - Number(claims.iat), settings.tokenLifetimeSeconds)
  broker.clock.advance(DAY_MS)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  await broker.services.apps.set(app.id, { grantLifetimeSeconds: DAY_SECONDS }, 'test')
  const ended = await exchange(broker, brokerToken)
  t.match(ended, { status: 401, body: { reconnect_url: /connect/ } })
})

t.test('browser apps have a limit of 90 days unless their host chooses another', async (t) => {
  const broker = await buildBroker(t)
  const lifetimeOf = async (fields: Parameters<typeof addApp>[1]) =>
    (await addApp(broker, fields)).grantLifetimeSeconds
  t.equal(await lifetimeOf({}), 90 * DAY_SECONDS)
  t.equal(await lifetimeOf({ tokenLifetimeSeconds: 200 * DAY_SECONDS }), 200 * DAY_SECONDS)
  t.equal(await lifetimeOf({ grantLifetimeSeconds: null }), null)
  t.equal(await lifetimeOf({ confidential: true }), null)
  for (const uri of ['http://127.0.0.1/', 'http://localhost:3000/', 'com.example.app:/back']) {
    t.equal(await lifetimeOf({ redirectUris: [uri] }), null, uri)
  }
  for (const grantLifetimeSeconds of [59, 3651 * DAY_SECONDS, 90.5]) {
    await t.rejects(addApp(broker, { grantLifetimeSeconds }), /grant lifetime/)
  }
})
