import t from 'tap'
import { RETURN, addApp, allow, authorizationRequest, authorize, buildBroker } from '../helper.ts'
import type { TestBroker, TestOptions } from '../helper.ts'
import { rewritingFetch, without } from '../ellipsis/rewrite.ts'
import { Visitor } from '../visitor.ts'

/** As RFC 6749 4.1.2.1 allows. */
const DESCRIPTION = /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/

/** The redirect to the app after Ellipsis Drive sent the browser back with that query. */
async function endAtApp(broker: TestBroker, upstreamQuery: Record<string, string>) {
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  return end(broker, `${broker.url}/oauth/authorize?${query}`, upstreamQuery)
}

/** The page after a plain connect link. */
async function endOnPage(broker: TestBroker, upstreamQuery: Record<string, string>) {
  const app = await addApp(broker)
  return end(broker, `${broker.url}/connect/${app.id}`, upstreamQuery)
}

async function end(broker: TestBroker, start: string, upstreamQuery: Record<string, string>) {
  const visitor = new Visitor()
  const upstream = await visitor.press(await visitor.open(start), 'Continue to Ellipsis Drive')
  const state = new URL(upstream.url).searchParams.get('state') ?? ''
  const query = new URLSearchParams({ ...upstreamQuery, state }).toString()
  return visitor.open(`${broker.url}/callback?${query}`, RETURN)
}

const REDIRECTS: [Record<string, string>, string, RegExp][] = [
  [{ error: 'server_error' }, 'server_error', /^Ellipsis Drive could not.* again later/],
  [{ error: 'interaction_required' }, 'server_error', /^Ellipsis Drive could not.* again later/],
  [{ error: '"><script>x' }, 'server_error', /^Ellipsis Drive could not.* again later/],
  [{ error: 'x'.repeat(3000) }, 'server_error', /^Ellipsis Drive could not.* again later/],
  [
    { error: 'temporarily_unavailable' },
    'temporarily_unavailable',
    /^Ellipsis Drive is busy or down.*again in a few minutes/,
  ],
  ...['invalid_request', 'invalid_scope', 'unauthorized_client', 'unsupported_response_type'].map(
    (error): [Record<string, string>, string, RegExp] => [
      { error },
      'server_error',
      new RegExp(`^Ellipsis Drive does not accept.*\\(${error}\\)\\. Tell the host of this broker`),
    ],
  ),
  [{}, 'server_error', /^Ellipsis Drive sent neither a code nor an error.*again later/],
  [{ code: '' }, 'server_error', /^Ellipsis Drive sent neither a code nor an error/],
]

t.test('app and page say what Ellipsis Drive did, and what to do', async (t) => {
  const broker = await buildBroker(t)
  for (const [query, code, description] of REDIRECTS) {
    const name = JSON.stringify(query).slice(0, 60)
    const { searchParams } = new URL((await endAtApp(broker, query)).url)
    t.equal(searchParams.get('error'), code, name)
    t.match(searchParams.get('error_description'), description, name)
    t.match(searchParams.get('error_description'), DESCRIPTION, name)
    const page = await endOnPage(broker, query)
    t.equal(page.status, code === 'server_error' ? 500 : 503, name)
    t.match(page.body, new RegExp(`<p>${description.source.slice(1)}`), name)
    t.notMatch(page.body, /problem of its own|script>x/, name)
  }
})

t.test('errors of the token endpoint name Ellipsis Drive, too', async (t) => {
  const cases: [string, TestOptions, (broker: TestBroker) => void, string, RegExp][] = [
    [
      'its own code refused',
      {},
      ({ standIn }) => standIn.addFault({ endpoint: 'token', kind: 'invalid_grant' }),
      'invalid_request',
      /^Ellipsis Drive did not accept the code that it sent \(invalid_grant\).*connect again/,
    ],
    [
      'the broker’s client refused',
      {},
      ({ standIn }) => standIn.addFault({ endpoint: 'token', kind: 'invalid_client' }),
      'server_error',
      /^Ellipsis Drive does not accept the client id or secret.*Tell the host/,
    ],
    [
      'down',
      {},
      ({ standIn }) => standIn.addFault({ endpoint: 'token', kind: 'status', status: 502 }),
      'temporarily_unavailable',
      /^Ellipsis Drive did not answer as it should/,
    ],
    [
      'no JSON',
      {},
      ({ standIn }) => standIn.addFault({ endpoint: 'token', kind: 'html' }),
      'temporarily_unavailable',
      /^Ellipsis Drive did not answer as it should/,
    ],
    [
      'no refresh token',
      { runtime: { fetch: rewritingFetch({ token: without('refresh_token') }) } },
      () => undefined,
      'server_error',
      /^Ellipsis Drive sent no refresh token/,
    ],
    [
      'too large',
      { switches: { tokenLength: 17_000 } },
      () => undefined,
      'temporarily_unavailable',
      /^Ellipsis Drive's access token is too large: more than 16384 bytes\. Tell the host/,
    ],
  ]
  for (const [name, options, prepare, code, description] of cases) {
    const broker = await buildBroker(t, options)
    const app = await addApp(broker)
    prepare(broker)
    const { returned } = await authorize(broker, app)
    t.equal(returned.searchParams.get('error'), code, name)
    t.match(returned.searchParams.get('error_description'), description, name)
    t.match(returned.searchParams.get('error_description'), DESCRIPTION, name)
    prepare(broker)
    const visitor = new Visitor()
    const asked = await visitor.open(`${broker.url}/connect/${app.id}`)
    const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
    const page = await allow(visitor, login, 'amelie')
    t.notMatch(page.body, 'problem of its own', name)
    t.match(page.body, 'Ellipsis Drive', name)
  }
})

t.test('a fault of the broker is still told as its own', async (t) => {
  const broker = await buildBroker(t)
  const { seal } = broker.services.vault
  Object.assign(broker.services.vault, {
    seal(...values: Parameters<typeof seal>) {
      if (values[0].startsWith('connections/')) throw new Error('a bug')
      return seal(...values)
    },
  })
  const { returned } = await broker.clock.hurry(authorize(broker, await addApp(broker)))
  t.match(returned.searchParams.get('error_description'), 'problem of its own')
})
