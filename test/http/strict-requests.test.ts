import { request } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { addApp, buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { begin } from '../oauth/swap/begin.ts'

/** Sends lines as they are. Returns the head and body of the answer. */
function send({ url }: TestBroker, lines: string[]): Promise<string> {
  const { port } = new URL(url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), '127.0.0.1', () => {
      socket.write([...lines, 'Connection: close', '', ''].join('\r\n'))
    })
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text))
    socket.on('end', () => resolve(answer)).on('error', reject)
  })
}

t.test('a request with two Host headers is refused', async (t) => {
  const broker = await buildBroker(t)
  const { host } = new URL(broker.url)
  for (const path of ['/', '/healthz', '/admin', '/.well-known/jwks.json', '/none']) {
    for (const second of [`Host: ${host}`, 'hOST: other.example']) {
      const answer = await send(broker, [`GET ${path} HTTP/1.1`, `Host: ${host}`, second])
      t.match(answer, /^HTTP\/1\.1 400 /, `${path} ${second}`)
    }
    t.notMatch(await send(broker, [`GET ${path} HTTP/1.1`, `Host: ${host}`]), /^HTTP\/1\.1 400 /)
  }
  const post = ['POST /exchange HTTP/1.1', `Host: ${host}`, `Host: ${host}`, 'Content-Length: 0']
  t.match(await send(broker, post), /^HTTP\/1\.1 400 .*"error":"invalid_request"/s)
})

t.test('a request may name the whole URL', async (t) => {
  const broker = await buildBroker(t)
  const { host } = new URL(broker.url)
  const answer = await send(broker, [`GET ${broker.url}/healthz HTTP/1.1`, `Host: ${host}`])
  t.match(answer, /^HTTP\/1\.1 200 /)
})

t.test('no page is reached by another spelling of its path', async (t) => {
  for (const basePath of ['', '/broker']) {
    const broker = await buildBroker(t, { basePath })
    const get = (path: string, method = 'GET') =>
      fetch(broker.url + path, { method, redirect: 'manual' })
    for (const path of [
      '/%61dmin/users',
      '/%61dmin/assets/admin.js',
      '/admin/us%65rs',
      '/%6detrics',
      '/me%74rics',
      '/openapi%2ejson',
      '/%64evice',
      '/oauth/%61uthorize',
      '/callb%61ck?state=x',
      '/.well-known/jwks%2Ejson',
    ]) {
      const { status } = await get(path)
      const isCleaned = path === '/%64evice'
      t.equal(status, isCleaned ? 200 : 404, path)
    }
    for (const path of ['/%65xchange', '/oauth/tok%65n', '/oauth/%72evoke']) {
      t.equal((await get(path, 'POST')).status, 404, path)
    }
    for (const path of ['/%61dmin', '/ADMIN', '//admin', '/Admin/Sign-In', '/admi%6e/sign%2din']) {
      const answer = await get(path)
      t.equal(answer.status, 302, path)
      t.match(answer.headers.get('location'), new RegExp(`^${basePath}/admin(/sign-in)?$`), path)
    }
    t.equal((await get('/admin/sign-in')).status, 200)
  }
})

/** Requests whose answers are JSON, text and pages of every kind. */
const requestsOfAllKinds = (brokerToken: string): [string, string, Record<string, string>][] => [
  ['POST', '/exchange', { authorization: `Bearer ${brokerToken}` }],
  ['POST', '/exchange', {}],
  ['POST', '/oauth/token', {}],
  ['POST', '/oauth/introspect', {}],
  ['GET', '/healthz', {}],
  ['GET', '/readyz', {}],
  ['GET', '/metrics', {}],
  ['GET', '/openapi.json', {}],
  ['GET', '/.well-known/oauth-authorization-server', {}],
  ['GET', '/none', {}],
  ['GET', '/none', { accept: 'text/html' }],
  ['GET', '/%', {}],
  ['TRACE', '/', {}],
  ['GET', '/admin/sign-in', {}],
  ['GET', '/admin', {}],
  ['GET', '/assets/base.css', {}],
  ['GET', '/docs', {}],
  ['GET', '/', {}],
]

/** Sends a request, also with a method that `fetch` refuses. */
const ask = (url: string, method: string, headers: Record<string, string>) =>
  new Promise<IncomingHttpHeaders>((resolve, reject) => {
    const sent = request(url, { method, headers }, (answer) => {
      answer.resume().on('end', () => resolve(answer.headers))
    })
    sent.on('error', reject).end()
  })

t.test('every answer says that its type is not to be guessed', async (t) => {
  const secure = await buildBroker(t, { env: { BROKER_PUBLIC_URL: 'https://broker.example' } })
  const { broker, brokerToken } = await begin(t)
  const hsts = 'strict-transport-security'
  for (const [method, path, headers] of requestsOfAllKinds(brokerToken)) {
    const title = `${method} ${path}`
    const plain = await ask(broker.url + path, method, headers)
    t.equal(plain['x-content-type-options'], 'nosniff', title)
    t.equal(plain[hsts], undefined)
    if (plain['content-length'] !== '0' && plain.location === undefined)
      t.match(plain['content-type'], /^(application\/json|text\/(html|plain|css)).*; charset=utf-8/)
    const { port } = new URL(`http://x:${secure.env.BROKER_PORT}`)
    const overTls = await ask(`http://127.0.0.1:${port}${path}`, method, headers)
    t.equal(overTls[hsts], 'max-age=31536000; includeSubDomains', title)
  }
})

t.test('no answer can be framed, or load anything that its page did not name', async (t) => {
  const { broker, brokerToken } = await begin(t)
  for (const [method, path, headers] of requestsOfAllKinds(brokerToken)) {
    const policy = (await ask(broker.url + path, method, headers))['content-security-policy'] ?? ''
    for (const directive of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"])
      t.match(policy, directive, `${method} ${path}`)
    t.notMatch(policy, /unsafe|\*|data:/)
  }
})

t.test('a request whose length is ambiguous is refused (RFC 9112 6.3)', async (t) => {
  const broker = await buildBroker(t)
  const { host } = new URL(broker.url)
  const post = ['POST /oauth/token HTTP/1.1', `Host: ${host}`]
  for (const lines of [
    ['Content-Length: 5', 'Transfer-Encoding: chunked'],
    ['Content-Length: 5', 'Content-Length: 6'],
    ['Content-Length: +5'],
    ['Transfer-Encoding: chunked, identity'],
    ['Transfer-Encoding : chunked'],
    ['Transfer-Encoding: xchunked'],
  ]) {
    t.match(await send(broker, [...post, ...lines]), /^HTTP\/1\.1 400 /, lines.join(', '))
  }
})

t.test('only the files of the pages are served, and no folder is listed', async (t) => {
  const broker = await buildBroker(t)
  for (const path of [
    ...['/.git/config', '/.env', '/package.json', '/server/main.ts', '/data/broker.db'],
    ...['/assets', '/assets/', '/admin/assets/', '/assets/../package.json', '/assets/%2e%2e/.env'],
    ...['/assets/..%2fpackage.json', '/assets/.git/config', '/views/layout.eta'],
  ]) {
    const answer = await send(broker, [`GET ${path} HTTP/1.1`, `Host: ${new URL(broker.url).host}`])
    t.match(answer, /^HTTP\/1\.1 (404|303) /, path)
  }
})

t.test('pages of the dashboard keep no tie to the window that opened them', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const policy = async (path: string) =>
    (await fetch(broker.url + path, { redirect: 'manual' })).headers.get(
      'cross-origin-opener-policy',
    )
  t.equal(await policy('/admin'), 'same-origin')
  t.equal(await policy('/admin/sign-in'), 'same-origin')
  t.equal(await policy(`/connect/${app.id}`), null, 'an app waits for the window that it opens')
})
