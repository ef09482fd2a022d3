import t from 'tap'
import { PASSWORD } from '../../admin.ts'
import { addApp, authorizationRequest, buildBroker } from '../../helper.ts'
import { Secret } from '../../../server/secret.ts'
import { Visitor } from '../../visitor.ts'

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

t.test('every cookie over https is for this host only, and no script reads it', async (t) => {
  const publicUrl = 'https://broker.example.com'
  const broker = await buildBroker(t, { env: { BROKER_PUBLIC_URL: publicUrl } })
  const { port } = new URL(`http://x:${broker.env.BROKER_PORT}`)
  const jar = new Map<string, string>()
  const lines: string[] = []
  /** Sends a request as a browser of the public URL does; a form with the CSRF token of the last page. */
  const send = async (path: string, form?: Record<string, string>) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      redirect: 'manual',
      headers: {
        'x-forwarded-host': new URL(publicUrl).host,
        origin: publicUrl,
        cookie: [...jar].map((pair) => pair.join('=')).join('; '),
      },
      ...(form && { method: 'POST', body: new URLSearchParams({ ...form, _csrf: token }) }),
    })
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      jar.set(name, value)
      lines.push(line)
    }
    token = /name="_csrf" value="([^"]*)"/.exec(await answer.text())?.[1] ?? token
    return answer.headers.get('location') ?? ''
  }
  let token = ''
  const email = 'ada@example.com'
  await broker.services.admins.add(email, new Secret(PASSWORD), 'test')
  await send('/admin/sign-in')
  await send('/admin/sign-in', { email, password: PASSWORD })
  await send('/admin/account')
  await send('/admin/account/sessions/end-others', {})
  await send('/admin/account')
  await send('/admin/sign-out', {})

  const { parameters } = authorizationRequest(await addApp(broker))
  await send(`/oauth/authorize?${new URLSearchParams(parameters).toString()}`)
  const upstream = await send('/oauth/authorize', { ...parameters, decision: 'allow' })
  const visitor = new Visitor()
  const signIn = await visitor.open(upstream)
  const user = /<button[^>]*>\s*(Log in as [^<]+)/.exec(signIn.body)?.[1]?.trim() ?? ''
  const consent = await visitor.press(signIn, user)
  const { url } = await visitor.press(consent, 'Allow', {}, publicUrl)
  const returned = await send(url.slice(publicUrl.length))
  t.match(returned, /[?&]code=/)

  const names = new Set(lines.map((line) => /^__Host-([a-z]+)/.exec(line)?.[1]))
  t.strictSame(names, new Set(['csrf', 'session', 'device', 'notice', 'flow', 'browser']))
  for (const line of lines) {
    for (const attribute of ['Path=/;', 'HttpOnly', 'Secure', 'SameSite=Lax'])
      t.match(`${line};`, attribute, line.split('=', 1).join())
    t.notMatch(line, /domain=/i)
  }
})
