import t from 'tap'
import { buildBroker } from '../../helper.ts'
import { addSessionApp, claimsOf, fromPage, grantOf, maxAgeDays, signIn, valueOf } from './begin.ts'

const DAY_MS = 86_400_000
const REQUESTS = 50

t.test('a session is extended when it is past half its life', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const { cookie } = await signIn(broker, app)
  broker.clock.advance(14 * DAY_MS)
  t.equal((await fromPage(broker, app, cookie)).setCookie, undefined)
  broker.clock.advance(2 * DAY_MS)
  const { setCookie, body } = await fromPage(broker, app, cookie)
  t.equal(maxAgeDays(setCookie), 30)
  t.equal(body.expires_at, claimsOf(valueOf(setCookie)).exp)
  t.notOk(JSON.stringify(body).includes(valueOf(setCookie)), 'only in the cookie')
  broker.clock.advance(20 * DAY_MS)
  t.match(await fromPage(broker, app, cookie), { status: 401 }, 'the old cookie has expired')
  const grant = await broker.services.store.getGrant(grantOf(cookie))
  t.equal(grant?.revokedAt, null)
  t.match(await fromPage(broker, app, valueOf(setCookie)), { status: 200 })
})

t.test('tabs that renew at the same time keep their session', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker, { tokenLifetimeSeconds: 600 })
  let { cookie } = await signIn(broker, app)
  const old = [cookie]
  for (let round = 0; round < 5; round++) {
    broker.clock.advance(301_000)
    const cookies = old.slice(-2)
    const answers = await Promise.all(
      Array.from({ length: REQUESTS }, (_, index) =>
        fromPage(broker, app, cookies[index % cookies.length] ?? ''),
      ),
    )
    const expected = cookies.map((_, index) => (index === cookies.length - 1 ? 200 : 401))
    answers.forEach(({ status }, index) => t.equal(status, expected[index % cookies.length]))
    const renewed = answers.flatMap(({ setCookie, status }) =>
      status === 200 && setCookie !== undefined ? [valueOf(setCookie)] : [],
    )
    t.ok(renewed.length >= REQUESTS / 2)
    t.equal(new Set(renewed).size, 1, 'all get the same')
    cookie = renewed[0] ?? ''
    old.push(cookie)
  }
  const grant = await broker.services.store.getGrant(grantOf(cookie))
  t.equal(grant?.revokedAt, null)
})

t.test('an older cookie, as after a crash of the browser, is extended again', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const { cookie } = await signIn(broker, app)
  broker.clock.advance(16 * DAY_MS)
  const newer = valueOf((await fromPage(broker, app, cookie)).setCookie)
  await fromPage(broker, app, newer)
  broker.clock.advance(DAY_MS)
  const { status, setCookie } = await fromPage(broker, app, cookie)
  t.equal(status, 200)
  t.equal(valueOf(setCookie), newer)
  broker.clock.advance(15 * DAY_MS)
  t.equal(maxAgeDays((await fromPage(broker, app, newer)).setCookie), 30)
})

t.test('no session outlives the lifetime of its grant', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker, { grantLifetimeSeconds: 40 * 86_400 })
  const { cookie } = await signIn(broker, app)
  broker.clock.advance(16 * DAY_MS)
  const { setCookie } = await fromPage(broker, app, cookie)
  t.equal(maxAgeDays(setCookie), 24)
  broker.clock.advance(20 * DAY_MS)
  t.match(await fromPage(broker, app, valueOf(setCookie)), { status: 200, setCookie: undefined })
  broker.clock.advance(5 * DAY_MS)
  t.match(await fromPage(broker, app, valueOf(setCookie)), { status: 401 })
})
