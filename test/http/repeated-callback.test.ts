import t from 'tap'
import { addApp, allow, authorizationRequest, buildBroker, postForm } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { listConnections } from '../db/rows.ts'
import { Visitor } from '../visitor.ts'

async function atCallback(broker: TestBroker, path: string, parameters: Record<string, string>) {
  const visitor = new Visitor()
  const query = new URLSearchParams(parameters).toString()
  const asked = await visitor.open(`${broker.url}${path}?${query}`)
  const upstream = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const { url } = await allow(visitor, upstream, 'amelie', `${broker.url}/callback`)
  const cookie = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
  const call = (headers: Record<string, string> = { cookie }) =>
    fetch(url, { headers: { accept: 'text/html', ...headers }, redirect: 'manual' })
  return { visitor, url, call, cookie }
}

t.test(
  'the same callback twice, one after the other or at once, ends as the first did',
  async (t) => {
    const broker = await buildBroker(t, { switches: { tokenDelay: 20 } })
    const app = await addApp(broker)
    for (const atOnce of [false, true]) {
      const { verifier, parameters } = authorizationRequest(app)
      const { call } = await atCallback(broker, '/oauth/authorize', parameters)
      const answers = atOnce
        ? await Promise.all([call(), call(), call()])
        : [await call(), await call(), await call()]
      const locations = new Set(answers.map(({ headers }) => headers.get('location') ?? ''))
      t.equal(locations.size, 1)
      const returned = new URL([...locations][0] ?? '')
      const redeemed = await postForm(`${broker.url}/oauth/token`, {
        grant_type: 'authorization_code',
        client_id: app.id,
        code: returned.searchParams.get('code') ?? '',
        redirect_uri: parameters.redirect_uri ?? '',
        code_verifier: verifier,
      })
      t.equal(redeemed.status, 200)
    }
    t.equal((await listConnections(broker.services.store)).length, 1)
  },
)

t.test('“You are connected” can be reloaded, by that browser alone', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { visitor, url, call } = await atCallback(broker, `/connect/${app.id}`, {})
  const first = await visitor.open(url)
  t.match(first, { status: 200, body: /connected/i })
  const again = await visitor.open(url)
  t.match(again, { status: 200, body: /connected/i })
  t.equal((await call({})).status, 400, 'without the cookie')
  broker.clock.advance(11 * 60_000)
  t.equal((await visitor.open(url)).status, 400, 'ten minutes later')
})

t.test('a refusal that comes twice is told twice', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const { call, url } = await atCallback(broker, '/oauth/authorize', parameters)
  const refused = new URL(url)
  refused.searchParams.delete('code')
  refused.searchParams.set('error', 'access_denied')
  const init = { headers: {}, redirect: 'manual' } as const
  t.equal((await fetch(refused, init)).status, 400)
  const [one, two] = [await call(), await call()]
  t.equal(one.headers.get('location'), two.headers.get('location'))
})
