import t from 'tap'
import { addApp, allow, authorizationRequest, buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

/** What browsers and link scanners send with a request that nobody asked for. */
const PREFETCHES: [string, RequestInit][] = [
  ['Chromium’s prefetch', { headers: { 'sec-purpose': 'prefetch' } }],
  ['Chromium’s prerender', { headers: { 'sec-purpose': 'prefetch;prerender' } }],
  ['an anonymous one', { headers: { 'sec-purpose': 'prefetch;anonymous-client-ip' } }],
  ['older browsers’', { headers: { purpose: 'prefetch' } }],
  ['Firefox’s', { headers: { 'x-moz': 'prefetch' } }],
  ['Safari’s', { headers: { 'x-purpose': 'preview' } }],
  ['HEAD', { method: 'HEAD' }],
]

/** A visitor who has allowed, with the callback that Ellipsis Drive sends the browser to. */
async function atCallback(broker: TestBroker) {
  const visitor = new Visitor()
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  const upstream = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const { url } = await allow(visitor, upstream, 'amelie', `${broker.url}/callback`)
  return { visitor, url, redirectUri: parameters.redirect_uri ?? '' }
}

t.test('a prefetched callback changes nothing, and the visit works', async (t) => {
  const broker = await buildBroker(t)
  for (const [name, init] of PREFETCHES) {
    const { visitor, url, redirectUri } = await atCallback(broker)
    const cookies = new Map(visitor.cookies(broker.url))
    const early = await visitor.open(url, redirectUri, init)
    t.notOk(early.url.startsWith(redirectUri), name)
    t.strictSame(new Map(visitor.cookies(broker.url)), cookies, name)
    const visit = await visitor.open(url, redirectUri)
    t.match(new URL(visit.url).searchParams.get('code'), /./, name)
  }
})

t.test('no prefetch of any page starts a flow or counts as a failure', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_FAILURE_LIMIT: '3' } })
  const app = await addApp(broker, { trusted: true })
  const { parameters } = authorizationRequest(app)
  const paths = [
    `/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
    `/connect/${app.id}`,
    '/callback?state=wrong&code=wrong',
    '/admin/setup/wrong',
    '/device?user_code=WRONG',
  ]
  for (const path of paths) {
    for (const [name, init] of PREFETCHES) {
      const answer = await fetch(broker.url + path, { ...init, redirect: 'manual' })
      t.ok(answer.status === 503 || init.method === 'HEAD', `${name} of ${path}: ${answer.status}`)
      t.equal(answer.headers.getSetCookie().length, 0, `${name} of ${path}`)
      t.equal(await answer.text(), '', `${name} of ${path}`)
    }
  }
  const visit = await fetch(broker.url + paths[0], { redirect: 'manual' })
  t.equal(visit.status, 303, 'a trusted app’s user goes on to Ellipsis Drive')
})
