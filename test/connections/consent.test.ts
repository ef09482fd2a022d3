import t from 'tap'
import { RETURN, addApp, authorizationRequest, authorize, buildBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

t.test('the consent page names the app, the permissions and the host', async (t) => {
  const env = {
    BROKER_NAME: 'Maps & Co',
    BROKER_CONTACT: 'help@example.com',
    BROKER_PRIVACY_URL: 'https://example.com/privacy',
  }
  const broker = await buildBroker(t, { env })
  const app = await addApp(broker, { name: '<b>Evil\u202e</b>' })
  const { parameters } = authorizationRequest(app)
  const page = await new Visitor().open(
    `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
  )
  t.equal(page.status, 200)
  for (const text of [
    '&lt;b&gt;Evil',
    'Maps &amp; Co',
    'mailto:help@example.com',
    'app.example.com',
  ]) {
    t.ok(page.body.includes(text), text)
  }
  t.notMatch(page.body, '<b>Evil')
  t.match(page.body, /<button[^>]*value="allow".*<button[^>]*value="deny"/s)
  const policy = page.headers.get('content-security-policy') ?? ''
  t.match(policy, "default-src 'none'")
  t.match(policy, "frame-ancestors 'none'")
  t.notMatch(policy, 'form-action', 'Ellipsis Drive and the app may redirect on')
  t.notMatch(policy, 'unsafe-inline')
  t.notMatch(policy, 'upgrade-insecure-requests')
  t.equal(page.headers.get('x-frame-options'), 'DENY')
  t.equal(page.headers.get('referrer-policy'), 'same-origin')
  t.equal(page.headers.get('cache-control'), 'no-store')
})

t.test('the consent page says how long access lasts', async (t) => {
  const broker = await buildBroker(t)
  const open = async (fields: Parameters<typeof addApp>[1]) => {
    const { parameters } = authorizationRequest(await addApp(broker, fields))
    const query = new URLSearchParams(parameters).toString()
    return (await new Visitor().open(`${broker.url}/oauth/authorize?${query}`)).body
  }
  t.match(await open({}), 'revokes it, but at most <bdi>90 days</bdi>.')
  t.match(await open({ grantLifetimeSeconds: 3600 }), 'revokes it, but at most <bdi>1 hour</bdi>.')
  t.match(await open({ grantLifetimeSeconds: null }), 'revokes it.')
})

t.test('a denial on either page returns access_denied to the app', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const visitor = new Visitor()
  const address = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`

  const here = await visitor.press(await visitor.open(address), 'Deny', {}, RETURN)
  const login = await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive')
  const consent = await visitor.press(login, 'Log in as Amelie Laurent (amelie)')
  const there = await visitor.press(consent, 'Refuse', {}, RETURN)
  for (const page of [here, there]) {
    const answer = new URL(page.url).searchParams
    t.equal(answer.get('error'), 'access_denied')
    t.equal(answer.get('state'), parameters.state)
    t.equal(answer.get('iss'), broker.url)
  }
  t.equal((await Array.fromAsync(broker.services.connections.all())).length, 0)
})

t.test('a second app needs consent, even if Ellipsis Drive does not ask again', async (t) => {
  const broker = await buildBroker(t)
  const visitor = new Visitor()
  await authorize(broker, await addApp(broker), { visitor })
  const second = await addApp(broker, { name: 'Second app' })
  const { parameters } = authorizationRequest(second)
  const address = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const page = await visitor.open(address, RETURN)
  t.match(page.body, 'Second app')
  t.match(page.body, 'Continue to Ellipsis Drive')
})

t.test(
  'trusted apps skip the consent page, but not for redirect URIs that other apps can claim',
  async (t) => {
    const broker = await buildBroker(t)
    const open = async (redirectUri: string) => {
      const app = await addApp(broker, { trusted: true, redirectUris: [redirectUri] })
      const { parameters } = authorizationRequest(app)
      const query = new URLSearchParams(parameters).toString()
      return new Visitor().open(`${broker.url}/oauth/authorize?${query}`)
    }
    t.match((await open(RETURN)).body, 'Log in as')
    for (const claimable of ['http://127.0.0.1/return', 'com.example.app:/return']) {
      t.match((await open(claimable)).body, 'Continue to Ellipsis Drive')
    }
  },
)

t.test('a consent posted from another site, or without its CSRF token, is rejected', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const visitor = new Visitor()
  const page = await visitor.open(
    `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
  )
  const token = /name="_csrf" value="([^"]*)"/.exec(page.body)?.[1] ?? ''
  const post = (form: Record<string, string>, headers: Record<string, string>, who = visitor) =>
    who.open(`${broker.url}/oauth/authorize`, RETURN, {
      method: 'POST',
      body: new URLSearchParams({ ...parameters, decision: 'allow', ...form }),
      headers,
    })
  const cases = [
    await post({ _csrf: token }, { origin: 'https://evil.example' }),
    await post({ _csrf: token }, { 'sec-fetch-site': 'cross-site' }),
    await post({ _csrf: token }, { origin: 'null' }),
    await post({}, { origin: broker.url }),
    await post({ _csrf: 'x' }, { origin: broker.url }),
    await post({ _csrf: token }, { origin: broker.url }, new Visitor()),
  ]
  for (const [index, answer] of cases.entries()) {
    t.equal(answer.status, 403)
    // Another site's form is refused; one whose token has expired is shown again.
    t.match(answer.body, index < 3 ? 'Go back to the app' : 'This form had expired')
  }
  const good = await post({ _csrf: token }, { origin: broker.url })
  t.match(good.url, '/oauth/authorize?response_type=code')
  const cookie = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
  const answer = await fetch(`${broker.url}/oauth/authorize`, {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({ ...parameters, decision: 'allow', _csrf: token }),
    headers: { cookie, origin: broker.url },
  })
  t.equal(answer.status, 303, 'a form is never posted on (RFC 9700 4.12)')
})

t.test('a contact is linked as what it is', async (t) => {
  const contacts: [string, string][] = [
    ['https://example.com/contact?map', 'href="https://example.com/contact?map"'],
    ['http://intranet.example/help', 'href="http://intranet.example/help"'],
    ['HTTPS://Example.com', 'href="https://example.com/"'],
    ['https://example.com/@maps', 'href="https://example.com/@maps"'],
    ['maps@example.com', 'href="mailto:maps@example.com"'],
    ['mailto:maps@example.com', 'href="mailto:maps@example.com"'],
  ]
  for (const [contact, link] of contacts) {
    const broker = await buildBroker(t, { env: { BROKER_CONTACT: contact } })
    const { parameters } = authorizationRequest(await addApp(broker))
    const query = new URLSearchParams(parameters).toString()
    const { body } = await new Visitor().open(`${broker.url}/oauth/authorize?${query}`)
    t.ok(body.includes(link), `${contact}: ${/<p>Questions.*/.exec(body)?.[0]}`)
  }
})
