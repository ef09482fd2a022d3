import t from 'tap'
import type { App } from '../../../db/store.ts'
import {
  addApp,
  addAppWithSecret,
  allow,
  authorizationRequest,
  buildBroker,
  RETURN,
} from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { Visitor } from '../../visitor.ts'

/** The parameters of the redirect that answers an authorization request; `null`: a page. */
async function answer(broker: TestBroker, app: App, more: Record<string, string>) {
  const { parameters } = authorizationRequest(app, { scope: 'openid', ...more })
  const url = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const { headers } = await fetch(url, { redirect: 'manual' })
  const location = headers.get('location')
  return location === null ? null : Object.fromEntries(new URL(location).searchParams)
}

t.test('prompt and max_age (OpenID Connect Core 3.1.2.1)', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const error = async (more: Record<string, string>) => (await answer(broker, app, more))?.error
  t.match(await answer(broker, app, { prompt: 'none', state: 's' }), {
    ...{ error: 'login_required', state: 's', iss: broker.url },
  })
  t.equal(await error({ prompt: 'none login' }), 'invalid_request')
  t.equal(await error({ max_age: '-1' }), 'invalid_request')
  t.equal(await error({ max_age: 'x' }), 'invalid_request')
  for (const prompt of ['login', 'consent', 'login consent', 'select_account', 'whatever']) {
    t.equal(await answer(broker, app, { prompt }), null, prompt)
  }
  t.equal(await answer(broker, app, { max_age: '0', ui_locales: 'nl', login_hint: 'bo' }), null)

  const trusted = await addApp(broker, { trusted: true })
  t.match(await answer(broker, trusted, {}), { response_type: 'code' }, 'no consent page')
  t.equal(await answer(broker, trusted, { prompt: 'consent' }), null)
  t.equal(await answer(broker, trusted, { prompt: 'login' }), null)
})

t.test('a hidden frame with prompt=none gets its error', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app, { prompt: 'none' })
  const url = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const headers = { 'sec-fetch-dest': 'iframe', 'sec-fetch-site': 'cross-site' }
  const { status, headers: sent } = await fetch(url, { headers, redirect: 'manual' })
  t.equal(status, 303)
  t.match(sent.get('location'), `${RETURN}?error=login_required`)
})

t.test('request objects and registration are refused by their own errors', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  for (const name of ['request', 'request_uri', 'registration']) {
    t.equal((await answer(broker, app, { [name]: 'x' }))?.error, `${name}_not_supported`)
  }
  t.equal((await answer(broker, app, { nonce: 'n'.repeat(257) }))?.error, 'invalid_request')
})

t.test('fragment delivery gives access, and nothing else', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { deliver: 'fragment' })
  for (const [scope, expected] of [
    ['openid', 'invalid_scope'],
    ['openid projects', 'invalid_scope'],
    ['projects', undefined],
  ] as const) {
    const { parameters } = authorizationRequest(app, { scope })
    const url = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
    const { headers } = await fetch(url, { redirect: 'manual' })
    const hash = URL.parse(headers.get('location') ?? '')?.hash.slice(1)
    t.equal(new URLSearchParams(hash).get('error') ?? undefined, expected, scope)
  }
})

t.test('an app may post its authorization request', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app, { scope: 'openid', nonce: 'n' })
  const visitor = new Visitor()
  const headers = { origin: 'https://app.example.com', 'sec-fetch-site': 'cross-site' }
  const body = new URLSearchParams(parameters)
  const consent = await visitor.open(`${broker.url}/oauth/authorize`, RETURN, {
    ...{ method: 'POST', body, headers },
  })
  t.equal(consent.status, 200)
  const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, RETURN)
  const returned = await allow(visitor, upstream, 'amelie', RETURN)
  t.ok(new URL(returned.url).searchParams.get('code'))

  const forged = await fetch(`${broker.url}/oauth/authorize`, {
    ...{ method: 'POST', headers, redirect: 'manual' },
    body: new URLSearchParams({ ...parameters, decision: 'allow' }),
  })
  t.equal(forged.status, 403, 'the decision takes our own form')
})

t.test('a refusal returns to an app that sends a nonce instead of a challenge', async (t) => {
  const broker = await buildBroker(t)
  const { app } = await addAppWithSecret(broker, { confidential: true })
  const parameters = { response_type: 'code', client_id: app.id, scope: 'openid', nonce: 'n' }
  const visitor = new Visitor()
  const query = new URLSearchParams({ ...parameters, state: 's' }).toString()
  const consent = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  const returned = await visitor.press(consent, 'Deny', {}, RETURN)
  t.match(returned.url, `${RETURN}?error=access_denied`)
})

t.test('both well-known documents, with and without a base path', async (t) => {
  for (const basePath of ['', '/broker']) {
    const { url } = await buildBroker(t, { basePath })
    const origin = new URL(url).origin
    const read = async (address: string) =>
      (await (await fetch(address)).json()) as Record<string, unknown>
    const document = await read(`${url}/.well-known/openid-configuration`)
    t.strictSame(await read(`${origin}/.well-known/openid-configuration${basePath}`), document)
    t.strictSame(await read(`${url}/.well-known/oauth-authorization-server`), document)
    t.match(document, {
      issuer: url,
      userinfo_endpoint: `${url}/oauth/userinfo`,
      scopes_supported: ['openid', 'profile', 'projects'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      request_uri_parameter_supported: false,
    })
    const { keys } = (await read(`${url}/.well-known/jwks.json`)) as { keys: { alg: string }[] }
    t.ok(
      keys.some(({ alg }) => alg === 'RS256'),
      'its key is published before it signs',
    )
  }
})
