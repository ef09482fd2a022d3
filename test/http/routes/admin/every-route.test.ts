import type { RouteOptions } from 'fastify'
import t from 'tap'
import { signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { startIssuer } from '../../../oidc-issuer.ts'
import { watchCommits } from '../../../commits.ts'
import { fillBroker } from '../../../sample-data.ts'
import { Visitor } from '../../../visitor.ts'
import { csrfTokenOf } from './dashboard.ts'

// Security rules of the dashboard, checked on every route in the route table.

t.test('every admin route', async (t) => {
  const issuer = await startIssuer(t)
  issuer.answers.claims = { groups: ['ops'] }
  const broker = await buildBroker(t, { env: issuer.env })
  const data = await fillBroker(broker)
  const admin = await signIn(broker)
  const viewer = await signIn(broker, { role: 'viewer' })

  /** Routes that need no session. */
  const PUBLIC = [
    '/admin/sign-in',
    '/admin/sign-out',
    '/admin/setup/:secret',
    '/admin/sign-in/code',
    '/admin/sign-in/passkey',
    '/admin/sign-in/passkey/options',
    '/admin/sign-in/code/passkey',
    '/admin/sign-in/code/passkey/options',
    '/admin/sign-in/link/:link',
    '/admin/oidc/sign-in',
    '/admin/oidc/callback',
  ]

  const isSafe = (method: string) => method === 'GET' || method === 'HEAD'

  const routes = broker.app.routeTable
    .filter(({ url }) => url === '/admin' || url.startsWith('/admin/'))
    // For the identity provider, which has no cookies; oidc.test.ts has its own checks.
    .filter(({ url }) => url !== '/admin/oidc/logout')
    .flatMap((route) => [route.method].flat().map((method) => ({ ...route, method })))
  const inside = routes.filter(({ url }) => !PUBLIC.includes(url))
  const posts = routes.filter(({ method }) => !isSafe(method))

  /** The route's URL with existing ids as parameters. */
  function addressOf({ url }: Pick<RouteOptions, 'url'>, ids = data): string {
    const path = url
      .replace(/(?<=\/users\/):\w+/, ids.connectionId)
      .replace(/(?<=\/apps\/):\w+/, ids.appId)
      .replace(/(?<=\/keys\/):\w+/, ids.kid)
      .replace(/(?<=\/(grants|devices)\/):\w+/, ids.grantId)
      .replace(/(?<=\/links\/):\w+/, ids.linkId)
      .replace(/(?<=\/webhooks\/):\w+/, ids.webhookId)
      .replace(/(?<=\/admins\/):\w+/, 'viewer@example.com')
      .replace(/:\w+/g, 'x')
    return broker.url + path
  }

  /** Sends a request as this visitor, without following redirects. */
  async function send(
    visitor: Visitor,
    route: { url: string; method: string },
    form: Record<string, string> = {},
    headers: Record<string, string> = {},
  ) {
    const cookies = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
    return fetch(addressOf(route), {
      method: route.method,
      redirect: 'manual',
      headers: { accept: 'text/html', cookie: cookies, ...headers },
      ...(!isSafe(route.method) && { body: new URLSearchParams(form) }),
    })
  }

  /** The CSRF token that belongs to this visitor's cookie. */
  async function tokenOf(visitor: Visitor, { url }: TestBroker): Promise<string> {
    return csrfTokenOf(await visitor.open(`${url}/admin/account`))
  }

  t.test('the route table has routes to check', async (t) => {
    t.ok(inside.length >= 4)
    t.ok(posts.length >= 2)
  })

  t.test('no route changes the audit log', async (t) => {
    const urls = posts.map(({ url }) => url).filter((url) => /audit|event/.test(url))
    t.strictSame(urls, ['/admin/audit/export'])
  })

  t.test('a visitor without a session is redirected to sign in and changes nothing', async (t) => {
    const anonymous = new Visitor()
    await anonymous.open(`${broker.url}/admin/sign-in`)
    const changed = watchCommits(t, broker.dataDir)
    for (const route of inside) {
      const name = `${route.method} ${route.url}`
      const answer = await send(anonymous, route, { _csrf: 'x' })
      t.equal(answer.status, 303, name)
      t.match(answer.headers.get('location'), '/admin/sign-in', name)
      t.equal(await answer.text(), '', name)
    }
    t.equal(changed(), false)
  })

  t.test('a viewer changes nothing but their own account', async (t) => {
    const changed = watchCommits(t, broker.dataDir)
    const token = await tokenOf(viewer, broker)
    for (const route of inside.filter(({ method }) => !isSafe(method))) {
      if (route.config?.own === true) continue
      const answer = await send(viewer, route, { _csrf: token }, { origin: broker.url })
      t.equal(answer.status, 403, route.url)
      t.match(await answer.text(), 'Ask someone with the role admin', route.url)
    }
    t.equal(changed(), false)
  })

  t.test('a GET changes nothing', async (t) => {
    // The background flush is no change of the request.
    await broker.services.upstream.flush()
    const changed = watchCommits(t, broker.dataDir)
    for (const visitor of [admin, viewer]) {
      for (const route of routes.filter(({ method }) => isSafe(method))) {
        const answer = await send(visitor, route)
        t.ok(answer.status < 500, `${route.method} ${route.url}: ${answer.status}`)
      }
    }
    t.equal(changed(), false)
  })

  t.test(
    'a POST without its token, with someone else’s token, or from another site changes nothing',
    async (t) => {
      const changed = watchCommits(t, broker.dataDir)
      const token = await tokenOf(admin, broker)
      const viewerToken = await tokenOf(viewer, broker)
      const { url } = broker
      const attempts: [string, Record<string, string>, Record<string, string>][] = [
        ['no token', {}, { origin: url }],
        ['a wrong token', { _csrf: `${token}x` }, { origin: url }],
        ['another’s token', { _csrf: viewerToken }, { origin: url }],
        ['a foreign origin', { _csrf: token }, { origin: 'https://evil.example' }],
        ['an opaque origin', { _csrf: token }, { origin: 'null' }],
        ['a foreign site', { _csrf: token }, { 'sec-fetch-site': 'cross-site' }],
        ['a neighbouring site', { _csrf: token }, { 'sec-fetch-site': 'same-site' }],
        ['a token in a header', {}, { 'csrf-token': token, origin: url }],
      ]
      for (const route of posts) {
        for (const [name, form, headers] of attempts) {
          const { status } = await send(admin, route, form, headers)
          t.equal(status, 403, `${route.url}: ${name}`)
        }
      }
      t.equal(changed(), false)
    },
  )

  t.test('no page can be framed, cached, or run foreign scripts', async (t) => {
    for (const route of routes.filter(({ method }) => method === 'GET')) {
      const { headers } = await send(admin, route)
      const policy = headers.get('content-security-policy') ?? ''
      t.match(policy, "frame-ancestors 'none'", route.url)
      t.notMatch(policy, 'unsafe', route.url)
      t.equal(headers.get('x-frame-options'), 'DENY', route.url)
      t.equal(headers.get('cache-control'), 'no-store', route.url)
    }
  })

  t.test('every page has a button to sign out; password managers fill its fields', async (t) => {
    const pages = [await new Visitor().open(`${broker.url}/admin/sign-in`)]
    for (const route of inside.filter(({ method }) => method === 'GET')) {
      const page = await admin.open(addressOf(route))
      if (!page.headers.get('content-type')?.startsWith('text/html')) continue
      t.match(page.body, /action="[^"]*\/admin\/sign-out"/, route.url)
      pages.push(page)
    }
    const fields = pages.flatMap(
      ({ body }) => body.match(/<input[^>]* type="password"[^>]*>/g) ?? [],
    )
    t.ok(fields.length >= 5)
    for (const field of fields) {
      t.match(field, /autocomplete="(current|new)-password"/)
      t.notMatch(field, /maxlength|pattern|onpaste/)
    }
    const named = pages.flatMap(
      ({ body }) => body.match(/<input[^>]* name="password"[^>]*>/g) ?? [],
    )
    for (const field of named) t.match(field, 'type="password"')
  })

  t.test('names with markup or bidirectional characters are harmless on every page', async (t) => {
    for (const connectionId of ['con_sample3', 'con_sample4', 'con_sample5']) {
      for (const route of routes.filter(({ method }) => method === 'GET')) {
        const address = addressOf(route, { ...data, connectionId, appId: data.oddAppId })
        const { body } = await admin.open(address)
        t.notMatch(body, /<script>alert|<b onclick/, address)
        t.notMatch(
          textOutsideIsolates(body),
          '\u202e',
          `${address}: only in <bdi>, so that it reverses no other text`,
        )
      }
    }
  })

  /** The text of a page outside isolated elements and attributes. */
  const textOutsideIsolates = (body: string): string =>
    body.replace(/<(bdi|title|option|textarea)\b[^>]*>.*?<\/\1>/gs, '').replace(/<[^>]*>/g, '')

  t.test('with its token, a POST makes a change', async (t) => {
    const changed = watchCommits(t, broker.dataDir)
    const leaving = await signIn(broker, { email: 'leaving@example.com' })
    changed()
    const form = { _csrf: await tokenOf(leaving, broker) }
    t.equal((await send(leaving, { url: '/admin/sign-out', method: 'POST' }, form)).status, 303)
    t.equal(changed(), true)
  })
})
