import t from 'tap'
import type { Test } from 'tap'
import { addApp, buildBroker, postForm } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'

const ORIGIN = 'https://app.example.com'
const PATHS = ['/oauth/token', '/exchange', '/oauth/revoke', '/oauth/device_authorization']
const DOCUMENTS = [
  '/.well-known/oauth-authorization-server',
  '/.well-known/jwks.json',
  '/openapi.json',
]

const preflight = (url: string, origin: string, method = 'POST') =>
  fetch(url, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,content-type,dpop',
    },
  })

const allowedOrigin = ({ headers }: Response): string | null =>
  headers.get('access-control-allow-origin')

const post = (broker: TestBroker, path: string, origin: string) =>
  fetch(broker.url + path, { method: 'POST', headers: { origin } })

/** Preflight and answer agree on every path. */
async function checkOrigin(t: Test, broker: TestBroker, origin: string, isAllowed: boolean) {
  const expected = isAllowed ? origin : null
  for (const path of PATHS) {
    const asked = await preflight(broker.url + path, origin)
    t.equal(allowedOrigin(asked), expected, `preflight of ${path} from ${origin}`)
    t.equal(asked.ok, isAllowed)
    t.equal(allowedOrigin(await post(broker, path, origin)), expected, `${path} from ${origin}`)
  }
}

t.test('registered origins may call the endpoints of apps', async (t) => {
  for (const basePath of ['', '/broker']) {
    const broker = await buildBroker(t, { basePath })
    await addApp(broker)
    for (const path of PATHS) {
      const asked = await preflight(broker.url + path, ORIGIN)
      t.match(asked, { status: 204 }, path)
      t.equal(asked.headers.get('access-control-allow-methods'), 'POST')
      t.match(
        asked.headers.get('access-control-allow-headers'),
        /authorization.*content-type.*dpop/,
      )
      t.match(asked.headers.get('vary'), 'Origin')
      t.equal(asked.headers.get('access-control-allow-credentials'), null)
      const answer = await post(broker, path, ORIGIN)
      t.match(answer.headers.get('access-control-expose-headers'), 'dpop-nonce')
      t.match(answer.headers.get('vary'), 'Origin')
    }
    await checkOrigin(t, broker, ORIGIN, true)
    for (const origin of [
      'https://evil.example',
      'null',
      'http://app.example.com',
      `${ORIGIN}:8443`,
    ])
      await checkOrigin(t, broker, origin, false)
  }
})

t.test('a preflight is granted only where the answer would be', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'post', 'OPTIONS', '']) {
    for (const path of PATHS) {
      const asked = await preflight(broker.url + path, ORIGIN, method)
      t.equal(allowedOrigin(asked), null, `${method} ${path}`)
      t.equal(asked.ok, false, `${method} ${path}`)
    }
  }
  for (const path of [
    ...['/oauth/introspect', '/oauth/authorize', `/connect/${app.id}`, '/callback', '/device'],
    ...['/admin', '/admin/apps', '/healthz', '/metrics', '/docs', '/', '/nothing'],
    ...['/oauth/token/', '/exchange/x', '/oauth'],
  ]) {
    for (const method of ['GET', 'POST']) {
      const asked = await preflight(`${broker.url}${path}`, ORIGIN, method)
      t.equal(allowedOrigin(asked), null, `${method} ${path}`)
      t.equal(asked.ok, false, `${method} ${path}`)
      const answer = await fetch(broker.url + path, { method, headers: { origin: ORIGIN } })
      t.equal(allowedOrigin(answer), null, `${method} ${path}`)
    }
  }
})

t.test('pages of any origin may read the public documents', async (t) => {
  for (const basePath of ['', '/broker']) {
    const broker = await buildBroker(t, { basePath })
    for (const path of DOCUMENTS) {
      for (const origin of ['https://evil.example', 'null', 'capacitor://localhost']) {
        const answer = await fetch(broker.url + path, { headers: { origin } })
        t.match(answer, { status: 200 })
        t.equal(allowedOrigin(answer), '*')
        const asked = await preflight(broker.url + path, origin, 'GET')
        t.match(asked, { status: 204 })
        t.equal(allowedOrigin(asked), '*')
        t.equal(asked.headers.get('access-control-allow-headers'), '*')
      }
      const asked = await preflight(broker.url + path, ORIGIN, 'POST')
      t.equal(asked.ok, false)
    }
  }
})

t.test('an app on a device starts its flow from a web view', async (t) => {
  const broker = await buildBroker(t)
  const origin = 'capacitor://localhost'
  const app = await addApp(broker, { device: true, redirectUris: [], origins: [origin] })
  const started = await postForm(
    `${broker.url}/oauth/device_authorization`,
    { client_id: app.id },
    { origin, 'sec-fetch-site': 'cross-site' },
  )
  t.match(started, { status: 200, body: { user_code: /-/ } })
  t.equal(started.headers.get('access-control-allow-origin'), origin)
})

t.test('origins on loopback addresses match on any port, as redirect URIs do', async (t) => {
  const broker = await buildBroker(t)
  await addApp(broker, {
    redirectUris: ['http://127.0.0.1/cb', 'http://[::1]:8080/cb', 'http://localhost:5173/cb'],
  })
  for (const origin of [
    ...['http://127.0.0.1', 'http://127.0.0.1:1', 'http://127.0.0.1:65535', 'http://[::1]:4000'],
    ...['http://[::1]', 'http://localhost:5173'],
  ])
    await checkOrigin(t, broker, origin, true)
  for (const origin of [
    ...['https://127.0.0.1', 'http://127.0.0.1:65536', 'http://127.0.0.1:', 'http://127.0.0.1:1/'],
    ...['http://127.0.0.2:1', 'http://127.0.0.1.evil.example', 'http://localhost:5174'],
    ...[
      'http://localhost',
      'http://[::2]:1',
      'http://127.0.0.1:1a',
      'http://127.0.0.1@evil.example',
    ],
    'http://127.0.0.1?x',
  ])
    await checkOrigin(t, broker, origin, false)

  const other = await buildBroker(t)
  await addApp(other, { redirectUris: ['http://127.0.0.1/cb'], origins: [ORIGIN] })
  await checkOrigin(t, other, 'http://127.0.0.1:4000', false)
})

t.test('origins of web views and extensions', async (t) => {
  const broker = await buildBroker(t)
  const origins = [
    ...[
      'capacitor://localhost',
      'ionic://localhost',
      'tauri://localhost',
      'http://tauri.localhost',
    ],
    ...['chrome-extension://abcdefghijklmnopabcdefghijklmnop', 'app://obsidian.md'],
    ...['moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc', 'vscode-webview://0abc'],
    ...['custom+scheme.x-1://host:8080', 'https://xn--mnchen-3ya.example', 'http://intranet:8080'],
  ]
  const app = await addApp(broker, { origins })
  t.strictSame(app.origins, origins)
  for (const origin of origins) await checkOrigin(t, broker, origin, true)
  for (const origin of ['capacitor://localhost:1', 'capacitor://other', 'ionic+x://localhost'])
    await checkOrigin(t, broker, origin, false)

  const refused: [string, RegExp][] = [
    ['capacitor://localhost/', /which is capacitor:\/\/localhost\./],
    ['https://app.example.com/', /which is https:\/\/app\.example\.com\./],
    ['https://app.example.com:443', /which is https:\/\/app\.example\.com\./],
    ['HTTPS://App.Example.com', /which is https:\/\/app\.example\.com\./],
    ['Capacitor://localhost', /which is capacitor:\/\/localhost\./],
    ['https://münchen.example', /which is https:\/\/xn--mnchen-3ya\.example\./],
    ['https://user@app.example.com', /which is https:\/\/app\.example\.com\./],
    ['https://app.example.com/path?x#y', /which is https:\/\/app\.example\.com\./],
    [' https://app.example.com', /which is/],
    ['https:app.example.com', /is not an origin such as/],
    ['https:/app.example.com', /is not an origin such as/],
    ['capacitor://', /is not an origin such as/],
    ['capacitor:localhost', /is not an origin such as/],
    ['//app.example.com', /is not an origin such as/],
    ['app.example.com', /is not an origin such as/],
    ['localhost:3000', /is not an origin such as/],
    ['null', /is not an origin such as/],
    ['*', /is not an origin such as/],
    ['', /is not an origin such as/],
    ['file:///', /is not an origin such as/],
    ['file://host', /browsers send “null”/],
    ['data://x', /browsers send “null”/],
    ['https://*.example.com', /wildcard/],
    ['chrome-extension://*', /wildcard/],
    [`https://${'a'.repeat(600)}`, /longer than 500/],
  ]
  for (const [origin, message] of refused)
    await t.rejects(addApp(broker, { origins: [origin] }), { message }, origin)
})
