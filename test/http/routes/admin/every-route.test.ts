import type { RouteOptions } from 'fastify'
import t from 'tap'
import { signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { watchCommits } from '../../../commits.ts'
import { fillBroker } from '../../../sample-data.ts'
import { Visitor } from '../../../visitor.ts'

// What holds for every page of the dashboard, tried on all routes that there are.

t.test('every admin route', async (t) => {
  const broker = await buildBroker(t)
  const data = await fillBroker(broker)
  const admin = await signIn(broker)
  const viewer = await signIn(broker, { role: 'viewer' })

  /** Reachable without a session, and why. */
  const PUBLIC = [
    '/admin/sign-in',
    '/admin/sign-out',
    '/admin/setup/:secret',
    '/admin/sign-in/code',
  ]

  const isSafe = (method: string) => method === 'GET' || method === 'HEAD'

  const routes = broker.app.routeTable
    .filter(({ url }) => url === '/admin' || url.startsWith('/admin/'))
    .flatMap((route) => [route.method].flat().map((method) => ({ ...route, method })))
  const inside = routes.filter(({ url }) => !PUBLIC.includes(url))
  const posts = routes.filter(({ method }) => !isSafe(method))

  /** The route's address, with what is really there in place of its parameters. */
  function addressOf({ url }: Pick<RouteOptions, 'url'>, held = data): string {
    const path = url
      .replace(/(?<=\/users\/):\w+/, held.connectionId)
      .replace(/(?<=\/apps\/):\w+/, held.appId)
      .replace(/(?<=\/keys\/):\w+/, held.kid)
      .replace(/(?<=\/(grants|devices)\/):\w+/, held.grantId)
      .replace(/(?<=\/admins\/):\w+/, 'viewer@example.com')
      .replace(/:\w+/g, 'x')
    return broker.url + path
  }

  /** Asks as the visitor would, following nothing. */
  async function ask(
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

  /** The token that goes with this visitor's cookie. */
  async function tokenOf(visitor: Visitor, { url }: TestBroker): Promise<string> {
    const page = await visitor.open(`${url}/admin/account`)
    return /name="_csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
  }

  t.test('there is something to try', async (t) => {
    t.ok(inside.length >= 4)
    t.ok(posts.length >= 2)
  })

  t.test('a stranger is sent to sign in, and sees and changes nothing', async (t) => {
    const stranger = new Visitor()
    await stranger.open(`${broker.url}/admin/sign-in`)
    const changed = watchCommits(t, broker.dataDir)
    for (const route of inside) {
      const name = `${route.method} ${route.url}`
      const answer = await ask(stranger, route, { _csrf: 'x' })
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
      const answer = await ask(viewer, route, { _csrf: token }, { origin: broker.url })
      t.equal(answer.status, 403, route.url)
      t.match(await answer.text(), 'takes the role admin', route.url)
    }
    t.equal(changed(), false)
  })

  t.test('looking changes nothing', async (t) => {
    // What is written every few seconds, whoever looks.
    await broker.services.upstream.flush()
    const changed = watchCommits(t, broker.dataDir)
    for (const visitor of [admin, viewer]) {
      for (const route of routes.filter(({ method }) => isSafe(method))) {
        const answer = await ask(visitor, route)
        t.ok(answer.status < 500, `${route.method} ${route.url}: ${answer.status}`)
      }
    }
    t.equal(changed(), false)
  })

  t.test(
    'a POST without its token, with another’s, or from another site changes nothing',
    async (t) => {
      const changed = watchCommits(t, broker.dataDir)
      const token = await tokenOf(admin, broker)
      const others = await tokenOf(viewer, broker)
      const { url } = broker
      const tries: [string, Record<string, string>, Record<string, string>][] = [
        ['no token', {}, { origin: url }],
        ['a wrong token', { _csrf: `${token}x` }, { origin: url }],
        ['another’s token', { _csrf: others }, { origin: url }],
        ['a foreign origin', { _csrf: token }, { origin: 'https://evil.example' }],
        ['an opaque origin', { _csrf: token }, { origin: 'null' }],
        ['a foreign site', { _csrf: token }, { 'sec-fetch-site': 'cross-site' }],
        ['a neighbouring site', { _csrf: token }, { 'sec-fetch-site': 'same-site' }],
        ['a token in a header', {}, { 'csrf-token': token, origin: url }],
      ]
      for (const route of posts) {
        for (const [words, form, headers] of tries) {
          const { status } = await ask(admin, route, form, headers)
          t.equal(status, 403, `${route.url}: ${words}`)
        }
      }
      t.equal(changed(), false)
    },
  )

  t.test('no page is framed, kept by caches, or runs what it was not given', async (t) => {
    for (const route of routes.filter(({ method }) => method === 'GET')) {
      const { headers } = await ask(admin, route)
      const policy = headers.get('content-security-policy') ?? ''
      t.match(policy, "frame-ancestors 'none'", route.url)
      t.notMatch(policy, 'unsafe', route.url)
      t.equal(headers.get('x-frame-options'), 'DENY', route.url)
      t.equal(headers.get('cache-control'), 'no-store', route.url)
    }
  })

  t.test('names with markup, or from right to left, do no harm on any page', async (t) => {
    for (const connectionId of ['con_sample3', 'con_sample4', 'con_sample5']) {
      for (const route of routes.filter(({ method }) => method === 'GET')) {
        const address = addressOf(route, { ...data, connectionId, appId: data.oddAppId })
        const { body } = await admin.open(address)
        t.notMatch(body, /<script>alert|<b onclick/, address)
        t.notMatch(
          outside(body),
          '\u202e',
          `${address}: in <bdi>, so that it turns nothing else round`,
        )
      }
    }
  })

  /** The text of a page beside what is kept apart by itself: <bdi>, the title, options, attributes. */
  const outside = (body: string): string =>
    body.replace(/<(bdi|title|option|textarea)\b[^>]*>.*?<\/\1>/gs, '').replace(/<[^>]*>/g, '')

  t.test('with its token, a POST does change something', async (t) => {
    const changed = watchCommits(t, broker.dataDir)
    const leaving = await signIn(broker, { email: 'leaving@example.com' })
    changed()
    const form = { _csrf: await tokenOf(leaving, broker) }
    t.equal((await ask(leaving, { url: '/admin/sign-out', method: 'POST' }, form)).status, 303)
    t.equal(changed(), true)
  })
})
