import t from 'tap'
import { addApp, authorizationRequest, buildBroker } from '../../helper.ts'

t.test('over https: __Host- cookies, HSTS, and no mixed content', async (t) => {
  const publicUrl = 'https://broker.example.com'
  const broker = await buildBroker(t, { env: { BROKER_PUBLIC_URL: publicUrl } })
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  const page = await fetch(`${broker.url}/oauth/authorize?${query}`)
  const policy = page.headers.get('content-security-policy') ?? ''
  t.match(policy, 'upgrade-insecure-requests')
  t.match(policy, "default-src 'none'")
  t.match(page.headers.get('strict-transport-security'), /max-age=\d{7,}/)
  const [csrf = ''] = page.headers.getSetCookie()
  t.match(csrf, /^__Host-csrf=/)
  const token = /name="_csrf" value="([^"]*)"/.exec(await page.text())?.[1] ?? ''
  const answer = await fetch(`${broker.url}/oauth/authorize`, {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({ ...parameters, decision: 'allow', _csrf: token }),
    headers: { cookie: csrf.split(';', 1).join(), origin: publicUrl },
  })
  t.equal(answer.status, 303)
  const flow = answer.headers.getSetCookie().find((line) => line.startsWith('__Host-flow-')) ?? ''
  for (const attribute of ['Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax']) {
    t.match(csrf, attribute)
    t.match(flow, attribute)
  }
  t.notMatch(flow, 'Domain')
  const callback = new URL(answer.headers.get('location') ?? '').searchParams.get('redirect_uri')
  t.equal(callback, `${publicUrl}/callback`)
})

t.test('the content security policy names the form targets of the consent page', async (t) => {
  const broker = await buildBroker(t)
  const cases: [string, string][] = [
    ['https://app.example.com/return', 'https://app.example.com'],
    ['http://127.0.0.1/return', 'http://127.0.0.1'],
    ['http://[::1]/return', 'http:'],
    ['com.example.app:/return', 'com.example.app:'],
  ]
  for (const [redirectUri, source] of cases) {
    const app = await addApp(broker, { redirectUris: [redirectUri] })
    const page = await fetch(`${broker.url}/connect/${app.id}`)
    const policy = page.headers.get('content-security-policy') ?? ''
    const sources = /form-action ([^;]*)/.exec(policy)?.[1]?.split(' ')
    t.ok(sources?.includes(source), `${redirectUri}: ${sources?.join(' ')}`)
    t.ok(sources?.includes("'self'"))
    t.notMatch(policy, 'upgrade-insecure-requests')
    t.equal(page.headers.get('strict-transport-security'), null)
  }
})
