import fc from 'fast-check'
import t from 'tap'
import { RETURN, addApp, authorizationRequest, buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { size } from '../size.ts'
import { Visitor } from '../visitor.ts'

/** A flow of that browser, as far as Ellipsis Drive's page. */
async function startFlow(broker: TestBroker, visitor = new Visitor()) {
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  const upstream = await visitor.press(asked, 'Continue to Ellipsis Drive')
  return { visitor, upstream, state: parameters.state }
}

const callback = (broker: TestBroker, visitor: Visitor, query: string) =>
  visitor.open(`${broker.url}/callback?${query}`, RETURN)

t.test('a refusal without a state ends the only flow of this browser', async (t) => {
  const broker = await buildBroker(t)
  const inputs: [string, string][] = [
    ['error=access_denied', 'access_denied'],
    ['error=access_denied&state=', 'access_denied'],
    ['error=server_error&error_description=oops', 'server_error'],
    ['error=temporarily_unavailable', 'temporarily_unavailable'],
    ['error=invalid_scope', 'server_error'],
  ]
  for (const [query, code] of inputs) {
    const { visitor, state } = await startFlow(broker)
    for (const time of ['first', 'again']) {
      const { searchParams, origin } = new URL((await callback(broker, visitor, query)).url)
      t.equal(origin, new URL(RETURN).origin, `${query}, ${time}`)
      t.equal(searchParams.get('error'), code)
      t.equal(searchParams.get('state'), state)
    }
  }
})

t.test('a flow that has ended does not count; two that are under way both stay', async (t) => {
  const broker = await buildBroker(t)
  const visitor = new Visitor()
  await startFlow(broker, visitor)
  await callback(broker, visitor, 'error=access_denied')
  const second = await startFlow(broker, visitor)
  const ended = await callback(broker, visitor, 'error=access_denied')
  t.equal(new URL(ended.url).searchParams.get('state'), second.state)

  const third = await startFlow(broker, visitor)
  const fourth = await startFlow(broker, visitor)
  const page = await callback(broker, visitor, 'error=access_denied')
  t.match(page, { status: 400, body: /has no state/ })
  for (const { upstream, state } of [third, fourth]) {
    const upstreamState = new URL(upstream.url).searchParams.get('state') ?? ''
    const query = `error=access_denied&state=${upstreamState}`
    t.equal(new URL((await callback(broker, visitor, query)).url).searchParams.get('state'), state)
  }
})

t.test(
  'another browser, an expired flow, and an answer that is no refusal change nothing',
  async (t) => {
    const broker = await buildBroker(t)
    const { visitor, state } = await startFlow(broker)
    const nothing = { status: 400, body: /has no state/ }
    t.match(await callback(broker, new Visitor(), 'error=access_denied'), nothing)
    for (const query of ['', 'code=x', 'error=', 'error=access_denied&code=x', 'error=a&error=b']) {
      t.match(await callback(broker, visitor, query), nothing, query)
    }
    t.match(await callback(broker, visitor, 'error=access_denied&state=a&state=b'), nothing)
    t.match(await callback(broker, visitor, 'error=access_denied&state=wrong'), { status: 400 })
    const ended = await callback(broker, visitor, 'error=access_denied')
    t.equal(new URL(ended.url).searchParams.get('state'), state, 'the flow was still there')

    const late = await startFlow(broker)
    broker.clock.advance(11 * 60_000)
    t.match(await callback(broker, late.visitor, 'error=access_denied'), nothing)
  },
)

t.test(
  'no query and no cookies are an error of the broker’s own, or end another flow',
  async (t) => {
    const broker = await buildBroker(t)
    const { visitor, state } = await startFlow(broker)
    const text = fc.oneof(fc.string(), fc.constantFrom('', 'access_denied', 'server_error'))
    const names = fc.constantFrom('state', 'code', 'error', 'error_description', 'iss')
    const query = fc.array(fc.tuple(names, text), { maxLength: 6 })
    const cookies = fc.array(fc.tuple(fc.string(), fc.base64String()), { maxLength: 3 })
    const numRuns = Number(process.env.RUNS ?? size(200, 5000))
    const property = fc.asyncProperty(query, cookies, async (query, cookies) => {
      const pairs = cookies.map(([name, value]) => `flow-${encodeURIComponent(name)}=${value}`)
      const response = await broker.app.inject({
        url: `/callback?${new URLSearchParams(query).toString()}`,
        headers: { cookie: pairs.join('; ') },
      })
      return response.statusCode === 400
    })
    await t.resolves(fc.assert(property, { numRuns }))
    const ended = await callback(broker, visitor, 'error=access_denied')
    t.equal(new URL(ended.url).searchParams.get('state'), state, 'the flow was still there')
  },
)
