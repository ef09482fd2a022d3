import { request } from 'node:https'
import t from 'tap'
import { Secret } from '../server/secret.ts'
import { PASSWORD } from './admin.ts'
import { addApp, buildBroker, freePort } from './helper.ts'
import { noNginx, startNginx } from './nginx.ts'

if (noNginx) console.error(`The test with nginx is skipped: ${noNginx}`)

/** Where the client's requests come from: another address than nginx's own. */
const CLIENT = '127.0.0.2'

interface Answer {
  status: number
  location: string | undefined
  cookies: string[]
  body: string
}

/** One request through nginx, whose certificate nobody vouches for. */
function ask(url: string, { method = 'GET', cookie = '', form = '' } = {}): Promise<Answer> {
  const headers = {
    accept: 'text/html',
    ...(cookie !== '' && { cookie }),
    ...(form !== '' && {
      'content-type': 'application/x-www-form-urlencoded',
      origin: new URL(url).origin,
    }),
  }
  return new Promise((resolve, reject) => {
    const options = { method, headers, rejectUnauthorized: false, localAddress: CLIENT }
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

const pairs = ({ cookies }: Answer) => cookies.map((line) => line.split(';')[0]).join('; ')
const tokenOf = ({ body }: Answer) => /name="_csrf" value="([^"]+)"/.exec(body)?.[1] ?? ''

t.test('under a base path, behind an nginx that ends TLS', { skip: noNginx }, async (t) => {
  const port = await freePort()
  const url = `https://localhost:${port}/broker`
  const env = { BROKER_PUBLIC_URL: url, BROKER_TRUST_PROXY: '127.0.0.1' }
  const broker = await buildBroker(t, { env, basePath: '/broker' })
  const app = await addApp(broker)
  await startNginx(t, { port, path: '/broker', upstream: new URL(broker.url).origin })
  await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'test')

  const stranger = await ask(`${url}/admin/keys`)
  t.equal(stranger.location, '/broker/admin/sign-in?next=%2Fbroker%2Fadmin%2Fkeys')
  const door = await ask(new URL(stranger.location ?? '', url).href)
  t.match(door.cookies[0], /^__Host-csrf=.*; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  const form = new URLSearchParams({
    _csrf: tokenOf(door),
    email: 'ada@example.com',
    password: PASSWORD,
    next: '/broker/admin/keys',
  }).toString()
  const inside = await ask(`${url}/admin/sign-in`, { method: 'POST', cookie: pairs(door), form })
  t.match(inside, { status: 303, location: '/broker/admin/keys' })
  t.match(inside.cookies[0], /^__Host-session=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  t.match(inside.cookies[1], /^__Host-device=.*; Secure/)
  const session = `${pairs(door)}; ${pairs(inside)}`

  const page = await ask(`${url}/admin/keys`, { cookie: session })
  t.match(page, { status: 200, body: 'Signing keys' })
  const found = page.body.matchAll(/ (?:href|src|action)="([^"#]+)"/g)
  const links = [...found].map(([, link = '']) => link)
  t.ok(links.length > 8)
  for (const link of links) t.match(link, /^\/broker(\/|$)/)
  for (const link of new Set(links.filter((link) => !link.endsWith('/sign-out')))) {
    t.equal((await ask(new URL(link, url).href, { cookie: session })).status, 200, link)
  }

  const rotated = await ask(`${url}/admin/keys/rotate`, {
    method: 'POST',
    cookie: session,
    form: new URLSearchParams({ _csrf: tokenOf(page) }).toString(),
  })
  t.match(rotated, { status: 303, location: '/broker/admin/keys' })
  t.match(rotated.cookies[0], /^__Host-notice=/)
  const told = await ask(`${url}/admin/keys`, { cookie: `${session}; ${pairs(rotated)}` })
  t.match(told.body, 'signs from now on')
  t.match(told.cookies[0], /^__Host-notice=; .*Expires=Thu, 01 Jan 1970/)

  const sessions = await ask(`${url}/admin/account`, { cookie: session })
  t.match(sessions.body, CLIENT, 'the address of the client, as nginx tells it')
  const account = await broker.services.store.findAdmin('ada@example.com')
  const [listed] = await broker.services.sessions.list(account?.id ?? '')
  t.equal(listed?.address, CLIENT)

  const connect = await ask(`${url}/connect/${app.id}`)
  t.match(connect.body, 'action="/broker/oauth/authorize"')
  t.equal((await ask(`${url}/admin`, { cookie: session })).status, 200)
  t.equal(
    (await ask(`https://localhost:${port}/admin`)).status,
    404,
    'nothing beside the base path',
  )
})

t.test('the address that a trusted proxy tells is the one of the session', async (t) => {
  const env = { BROKER_TRUST_PROXY: '127.0.0.1' }
  const broker = await buildBroker(t, { env })
  await broker.services.admins.add('ada@example.com', new Secret(PASSWORD), 'test')
  const door = await fetch(`${broker.url}/admin/sign-in`)
  const _csrf = /name="_csrf" value="([^"]+)"/.exec(await door.text())?.[1] ?? ''
  const answer = await fetch(`${broker.url}/admin/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: {
      cookie: door.headers.getSetCookie()[0]?.split(';')[0] ?? '',
      'x-forwarded-for': '203.0.113.9',
    },
    body: new URLSearchParams({ _csrf, email: 'ada@example.com', password: PASSWORD }),
  })
  t.equal(answer.status, 303)
  const account = await broker.services.store.findAdmin('ada@example.com')
  const [listed] = await broker.services.sessions.list(account?.id ?? '')
  t.equal(listed?.address, '203.0.113.9')
})
