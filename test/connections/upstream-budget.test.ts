import t from 'tap'
import {
  OF_ALL,
  PER_NETWORK,
  createUpstreamBudget,
  describeConnects,
} from '../../server/connections/upstream-budget.ts'
import { RETURN, addApp, allow, authorizationRequest, buildBroker } from '../helper.ts'
import { testClock } from '../clock.ts'
import { Visitor } from '../visitor.ts'

/** Takes the budget until it is used up. Returns how often, and the error. */
function takeAll(take: () => unknown) {
  for (let count = 0; ; count++) {
    try {
      take()
    } catch (error) {
      return { count, error }
    }
  }
}

t.test('a network has a budget of its own, which returns with time', async (t) => {
  const clock = testClock({ frozen: true })
  const budget = createUpstreamBudget(clock, describeConnects)
  const first = takeAll(() => budget.take('192.0.2.1'))
  t.match(first, {
    count: PER_NETWORK.size,
    error: { code: 'slow_down', details: { retryAfter: 2 } },
  })
  t.doesNotThrow(() => budget.take('192.0.2.2'))
  clock.advance(2000)
  t.equal(takeAll(() => budget.take('192.0.2.1')).count, 1)
})

t.test('all networks together have a budget, and a success takes nothing of it', async (t) => {
  const clock = testClock({ frozen: true })
  const budget = createUpstreamBudget(clock, describeConnects)
  for (let count = 0; count < 3 * OF_ALL.size; count++) budget.take(`user ${count}`)()
  let networks = 0
  const { count, error } = takeAll(() => budget.take(`network ${networks++}`))
  t.equal(count, OF_ALL.size)
  t.match(error, { code: 'temporarily_unavailable', details: { retryAfter: 1 } })
  t.throws(() => budget.take(null), { code: 'temporarily_unavailable' })
  clock.advance(60_000)
  t.equal(takeAll(() => budget.take(null)).count, OF_ALL.size, 'no more than at once')
})

t.test('a flow that was over the budget can be continued', async (t) => {
  const clock = testClock()
  clock.stop()
  const broker = await buildBroker(t, { runtime: { clock } })
  const app = await addApp(broker)
  const start = async () => {
    const visitor = new Visitor()
    const query = new URLSearchParams(authorizationRequest(app).parameters).toString()
    const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
    return { visitor, login: await visitor.press(asked, 'Continue to Ellipsis Drive') }
  }
  const honest = await start()
  const callback = await allow(honest.visitor, honest.login, 'amelie', `${broker.url}/callback`)
  for (let count = 0; count < PER_NETWORK.size; count++) {
    const { visitor, login } = await start()
    const state = new URL(login.url).searchParams.get('state') ?? ''
    await visitor.open(`${broker.url}/callback?code=made-up&state=${state}`, RETURN)
  }
  t.equal(broker.standIn.calls.token, PER_NETWORK.size)
  const limited = await honest.visitor.open(callback.url, RETURN)
  t.match(limited, { status: 429, body: /Wait 2 seconds, then reload this page/ })
  t.equal(limited.headers.get('retry-after'), '2')
  t.equal(broker.standIn.calls.token, PER_NETWORK.size)
  clock.advance(2000)
  const returned = await honest.visitor.open(callback.url, RETURN)
  t.ok(new URL(returned.url).searchParams.has('code'))
})
