/** The broker opened under another name than its public URL. For a longer run: `RUNS=100000`. */
import { request } from 'node:http'
import fc from 'fast-check'
import t from 'tap'
import { signIn } from '../admin.ts'
import { addApp, authorizationRequest, buildBroker } from '../helper.ts'
import { watchCommits } from '../commits.ts'
import { size } from '../size.ts'

const RUNS = Number(process.env.RUNS ?? size(300, 5000))
const PUBLIC = 'https://broker.example.com'

interface Answer {
  status: number
  location: string
  body: string
  cookie: string
}

/** A GET with this Host header, without following redirects. */
function get(url: string, host: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers: { host, accept: 'text/html', ...headers } }, (answer) => {
      let body = ''
      answer.on('data', (chunk: Buffer) => (body += chunk.toString()))
      answer.on('end', () => {
        const { location = '', 'set-cookie': cookies = [] } = answer.headers
        const cookie = cookies.map((line) => line.split(';')[0] ?? '').join('; ')
        resolve({ status: answer.statusCode ?? 0, location, body, cookie })
      })
    })
    sent.on('error', reject)
    sent.end()
  })
}

t.test('a page that is opened under another name leads to the public URL', async (t) => {
  for (const basePath of ['', '/broker']) {
    const broker = await buildBroker(t, { basePath })
    const app = await addApp(broker)
    const trusted = await addApp(broker, { trusted: true })
    const { port, host } = new URL(broker.url)
    const query = (of: typeof app) =>
      new URLSearchParams(authorizationRequest(of).parameters).toString()
    const changed = watchCommits(t, broker.dataDir)
    for (const path of [
      `/oauth/authorize?${query(app)}`,
      `/oauth/authorize?${query(trusted)}`,
      `/connect/${app.id}?state=%2F%3F&utm_source=a+b`,
      '/device?user_code=WDJB-MJHT',
      '/admin/sign-in?next=%2Fadmin%2Fapps',
      '/admin/apps?q=x',
      '/admin/setup/x',
      '/docs',
      '/',
    ]) {
      const url = broker.url + path
      for (const name of [
        `localhost:${port}`,
        `LOCALHOST:${port}`,
        `[::1]:${port}`,
        `127.0.0.2:${port}`,
        `broker.localhost:${port}`,
        `0.0.0.0:${port}`,
        '127.0.0.1:1',
      ]) {
        const other = await get(url, name)
        t.match(other, { status: 302, location: url }, `${name} ${path}`)
        t.notMatch(other.body, '<form', `${name} ${path}`)
      }
    }
    t.equal(changed(), false)
    for (const path of [`/connect/${app.id}`, '/device', '/admin/sign-in']) {
      for (const name of [host, '127.0.0.1'])
        t.equal((await get(broker.url + path, name)).status, 200, `${name} ${path}`)
    }
    for (const path of ['/healthz', '/.well-known/jwks.json', '/openapi.json'])
      t.equal((await get(broker.url + path, `localhost:${port}`)).status, 200, path)
    const callback = await get(`${broker.url}/callback?state=x`, `localhost:${port}`)
    t.equal(callback.status, 400, 'its cookie is of the name that it comes to')
  }
})

t.test('former names, other ports and a trailing dot lead to an https URL', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_PUBLIC_URL: PUBLIC } })
  const url = `${broker.url}/device?user_code=A`
  const location = `${PUBLIC}/device?user_code=A`
  for (const name of [
    'old.example.com',
    'broker.example.com.',
    'broker.example.com:8443',
    'broker.example.com:80',
    'broker.example.com.evil.example',
    'xbroker.example.com',
    '192.0.2.7',
    '[2001:db8::1]:443',
    'x@broker.example.com',
  ])
    t.match(await get(url, name), { status: 302, location }, name)
  for (const name of ['broker.example.com', 'broker.example.com:443', 'BROKER.example.com'])
    t.equal((await get(url, name)).status, 200, name)
})

t.test('behind a proxy that changes the Host, pages are sent', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_PUBLIC_URL: PUBLIC } })
  const app = await addApp(broker)
  const paths = [`/connect/${app.id}`, '/device', '/admin/sign-in?next=/admin/keys']
  const cookies: string[] = []
  for (const path of paths) {
    const first = await get(broker.url + path, '127.0.0.1:3000')
    t.match(first, { status: 302, location: PUBLIC + path })
    t.match(first.cookie, /^__Host-led-/)
    cookies.push(first.cookie)
  }
  for (const path of paths) {
    const cookie = cookies.join('; ')
    const second = await get(broker.url + path, '127.0.0.1:3000', { cookie })
    t.match(second, { status: 200, body: /<form/ }, `${path}, with the cookies of three tabs`)
    const third = await get(broker.url + path, 'old.example.com', { cookie: second.cookie })
    t.equal(third.status, 302, 'a cookie counts once')
  }
  const cookie = cookies[0] ?? ''
  t.equal((await get(`${broker.url}/device`, 'x', { cookie })).status, 302, 'of another page')
  for (const host of ['broker.example.com', 'broker.example.com, proxy.internal'])
    t.equal((await get(url(broker), 'x', { 'x-forwarded-host': host })).status, 200, host)
})
const url = (broker: { url: string }): string => `${broker.url}/device`

t.test('a trusted proxy says which name and scheme the visitor uses', async (t) => {
  const env = { BROKER_PUBLIC_URL: PUBLIC, BROKER_TRUST_PROXY: '127.0.0.1' }
  const broker = await buildBroker(t, { env })
  const cases: [Record<string, string>, number][] = [
    [{ 'x-forwarded-proto': 'http' }, 302],
    [{ 'x-forwarded-proto': 'https' }, 200],
    [{ 'x-forwarded-proto': 'HTTPS' }, 200],
    [{ 'x-forwarded-proto': 'https, http' }, 200],
    [{ 'x-forwarded-proto': 'wss' }, 200],
    [{ 'x-forwarded-proto': '' }, 200],
    [{ 'x-forwarded-host': 'old.example.com' }, 302],
    [{ 'x-forwarded-host': 'broker.example.com', 'x-forwarded-proto': 'https' }, 200],
    [{ 'x-forwarded-host': 'broker.example.com', 'x-forwarded-proto': 'http' }, 302],
  ]
  for (const [headers, status] of cases) {
    const answer = await get(url(broker), 'broker.example.com', headers)
    t.match(answer, { status, location: status === 302 ? `${PUBLIC}/device` : '' }, headers)
  }
  const unknown = await buildBroker(t, { env: { BROKER_PUBLIC_URL: PUBLIC } })
  const forged = { 'x-forwarded-proto': 'http', 'x-forwarded-host': 'old.example.com' }
  t.equal((await get(url(unknown), 'broker.example.com', forged)).status, 200, 'not trusted')
})

t.test('a public URL on loopback is named to other machines', async (t) => {
  const broker = await buildBroker(t)
  const { port } = new URL(broker.url)
  for (const name of ['192.0.2.7', `192.168.1.4:${port}`, 'myserver.lan', `[fd00::1]:${port}`]) {
    const answer = await get(url(broker), name)
    t.match(answer, { status: 421, location: '', cookie: '' }, name)
    t.match(answer.body, broker.url)
    t.match(answer.body, 'BROKER_PUBLIC_URL')
    t.notMatch(answer.body, '<form')
  }
})

t.test('an admin who is signed in under the public URL is led there with the query', async (t) => {
  const broker = await buildBroker(t)
  const visitor = await signIn(broker)
  const page = await visitor.open(`http://localhost:${new URL(broker.url).port}/admin/users?q=a`)
  t.match(page, { status: 200, url: `${broker.url}/admin/users?q=a` })
})

t.test(`${RUNS} Host headers: a page, or a redirect to the public URL`, async (t) => {
  const env = { BROKER_PUBLIC_URL: PUBLIC, BROKER_TRUST_PROXY: '127.0.0.1' }
  const broker = await buildBroker(t, { env })
  const changed = watchCommits(t, broker.dataDir)
  const printable = fc.string({ maxLength: 60 }).map((text) => text.trim())
  const host = fc.oneof(
    fc.domain(),
    fc.ipV4(),
    fc.ipV6().map((address) => `[${address}]`),
    fc.constantFrom('broker.example.com', 'localhost', 'broker.example.com, x', ',', '[', ']:1'),
    printable,
  )
  const withPort = fc
    .tuple(host, fc.option(fc.nat(99_999)))
    .map(([name, port]) => (port === null ? name : `${name}:${port}`))
  const headers = fc.record({
    host: withPort,
    forwarded: fc.option(withPort),
    proto: fc.option(fc.oneof(fc.constantFrom('http', 'https', 'https,http'), printable)),
  })
  await fc.assert(
    fc.asyncProperty(headers, async ({ host, forwarded, proto }) => {
      const answer = await broker.app.inject({
        url: '/device?user_code=A',
        headers: {
          host,
          ...(forwarded !== null && { 'x-forwarded-host': forwarded }),
          ...(proto !== null && { 'x-forwarded-proto': proto }),
        },
      })
      const isPage = answer.statusCode === 200
      const leads =
        answer.statusCode === 302 && answer.headers.location === `${PUBLIC}/device?user_code=A`
      if (!isPage && !leads) throw new Error(`${answer.statusCode}: ${answer.body}`)
    }),
    { numRuns: RUNS },
  )
  t.equal(changed(), false)
})
