import { request } from 'node:https'
import t from 'tap'
import { Secret } from '../server/secret.ts'
import { PASSWORD } from './admin.ts'
import { addApp, buildBroker, freePort } from './helper.ts'
import { noNginx, startNginx } from './nginx.ts'

if (noNginx) console.error(`The test with nginx is skipped: ${noNginx}`)

/** The client's address, which differs from nginx's. */
const CLIENT_ADDRESS = '127.0.0.2'

interface Answer {
  status: number
  location: string | undefined
  cookies: string[]
  body: string
}

/** Sends a request through nginx, whose certificate is self-signed. */
function send(url: string, { method = 'GET', cookie = '', form = '' } = {}): Promise<Answer> {
  const headers = {
    accept: 'text/html',
    ...(cookie !== '' && { cookie }),
    ...(form !== '' && {
      'content-type': 'application/x-www-form-urlencoded',
      origin: new URL(url).origin,
    }),
  }
  return new Promise((resolve, reject) => {
    const options = { method, headers, rejectUnauthorized: false, localAddress: CLIENT_ADDRESS }
    const sent = request(url, options, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          location: response.headers.location,
          cookies: response.headers['set-cookie'] ?? [],
          body,
        }),
      )
    })
    sent.on('error', reject)
    sent.end(form)
  })
}

const cookiePairs = ({ cookies }: Answer) => cookies.map((line) => line.split(';')[0]).join('; ')
const csrfTokenOf = ({ body }: Answer) => /name="_csrf" value="([^"]+)"/.exec(body)?.[1] ?? ''

t.test('under a base path, behind nginx with TLS', { skip: noNginx }, async (t) => {
  const port = await freePort()
  const url = `https://localhost:${port}/broker`
  const env = { BROKER_PUBLIC_URL: url, BROKER_TRUST_PROXY: '127.0.0.1' }
  const broker = await buildBroker(t, { env, basePath: '/broker' })
  const app = await addApp(broker)
  await startNginx(t, { port, path: '/broker', upstream: new URL(broker.url).origin })
  await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'test')

  const signedOut = await send(`${url}/admin/keys`)
  t.equal(signedOut.location, '/broker/admin/sign-in?next=%2Fbroker%2Fadmin%2Fkeys')
  const signInPage = await send(new URL(signedOut.location ?? '', url).href)
  t.match(
    signInPage.cookies[0],
    /^__Host-csrf-[\w-]{12}=.*; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
  )
  const form = new URLSearchParams({
    _csrf: csrfTokenOf(signInPage),
    email: 'ada@example.com',
    password: PASSWORD,
    next: '/broker/admin/keys',
  }).toString()
  const signedIn = await send(`${url}/admin/sign-in`, {
    method: 'POST',
    cookie: cookiePairs(signInPage),
    form,
  })
  t.match(signedIn, { status: 303, location: '/broker/admin/keys' })
  t.match(
    signedIn.cookies[0],
    /^__Host-session=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
  )
  t.match(signedIn.cookies[1], /^__Host-device=.*; Secure/)
  const session = `${cookiePairs(signInPage)}; ${cookiePairs(signedIn)}`

  const page = await send(`${url}/admin/keys`, { cookie: session })
  t.match(page, { status: 200, body: 'Signing keys' })
  const found = page.body.matchAll(/ (?:href|src|action)="([^"#]+)"/g)
  const links = [...found].map(([, link = '']) => link)
  t.ok(links.length > 8)
  for (const link of links) t.match(link, /^\/broker(\/|$)/)
  for (const link of new Set(links.filter((link) => !link.endsWith('/sign-out')))) {
    t.equal((await send(new URL(link, url).href, { cookie: session })).status, 200, link)
  }

  const rotated = await send(`${url}/admin/keys/rotate`, {
    method: 'POST',
    cookie: session,
    form: new URLSearchParams({ _csrf: csrfTokenOf(page) }).toString(),
  })
  t.match(rotated, { status: 303, location: '/broker/admin/keys' })
  t.match(rotated.cookies[0], /^__Host-notice=/)
  const nextPage = await send(`${url}/admin/keys`, {
    cookie: `${session}; ${cookiePairs(rotated)}`,
  })
  t.match(nextPage.body, 'is now the active key')
  t.match(nextPage.cookies[0], /^__Host-notice=; .*Expires=Thu, 01 Jan 1970/)

  const sessions = await send(`${url}/admin/account`, { cookie: session })
  t.match(sessions.body, CLIENT_ADDRESS, 'the client’s address, as nginx sends it')
  const account = await broker.services.store.findAdmin('ada@example.com')
  const [listed] = await broker.services.sessions.list(account?.id ?? '')
  t.equal(listed?.address, CLIENT_ADDRESS)

  const connect = await send(`${url}/connect/${app.id}`)
  t.match(connect.body, 'action="/broker/oauth/authorize"')
  t.equal((await send(`${url}/admin`, { cookie: session })).status, 200)
  t.equal(
    (await send(`https://localhost:${port}/admin`)).status,
    404,
    'no routes outside the base path',
  )
})

t.test('the address that a trusted proxy tells is the one of the session', async (t) => {
  const env = { BROKER_TRUST_PROXY: '127.0.0.1' }
  const broker = await buildBroker(t, { env })
  await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'test')
  const signInPage = await fetch(`${broker.url}/admin/sign-in`)
  const _csrf = /name="_csrf" value="([^"]+)"/.exec(await signInPage.text())?.[1] ?? ''
  const answer = await fetch(`${broker.url}/admin/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: {
      cookie: signInPage.headers.getSetCookie()[0]?.split(';')[0] ?? '',
      'x-forwarded-for': '203.0.113.9',
    },
    body: new URLSearchParams({ _csrf, email: 'ada@example.com', password: PASSWORD }),
  })
  t.equal(answer.status, 303)
  const account = await broker.services.store.findAdmin('ada@example.com')
  const [listed] = await broker.services.sessions.list(account?.id ?? '')
  t.equal(listed?.address, '203.0.113.9')
})
