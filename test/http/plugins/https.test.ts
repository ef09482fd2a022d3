import t from 'tap'
import { addApp, authorizationRequest, buildBroker } from '../../helper.ts'

t.test('over https: __Host- cookies, HSTS, and no mixed content', async (t) => {
  const publicUrl = 'https://broker.example.com'
  const broker = await buildBroker(t, { env: { BROKER_PUBLIC_URL: publicUrl } })
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  const page = await fetch(`${broker.url}/oauth/authorize?${query}`, {
    headers: { 'x-forwarded-host': new URL(publicUrl).host },
  })
  const policy = page.headers.get('content-security-policy') ?? ''
  t.match(policy, 'upgrade-insecure-requests')
  t.match(policy, "default-src 'none'")
  t.match(page.headers.get('strict-transport-security'), /max-age=\d{7,}/)
  const [csrf = ''] = page.headers.getSetCookie()
  t.match(csrf, /^__Host-csrf-[\w-]{12}=/)
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

t.test(
  'the form of the consent page may lead anywhere, those of other pages to the broker',
  async (t) => {
    const broker = await buildBroker(t)
    const policyOf = async (path: string) => {
      const page = await fetch(broker.url + path)
      t.equal(page.headers.get('strict-transport-security'), null)
      return page.headers.get('content-security-policy') ?? ''
    }
    for (const redirectUri of ['https://app.example.com/return', 'com.example.app:/return']) {
      const app = await addApp(broker, { redirectUris: [redirectUri] })
      t.notMatch(await policyOf(`/connect/${app.id}`), /form-action|upgrade-insecure-requests/)
    }
    for (const path of ['/admin/sign-in', '/device', '/']) {
      t.match(await policyOf(path), /form-action 'self';/)
    }
  },
)
