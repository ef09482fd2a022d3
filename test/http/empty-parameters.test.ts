import fc from 'fast-check'
import t from 'tap'
import {
  RETURN,
  addApp,
  addAppWithSecret,
  allow,
  authorizationRequest,
  authorize,
  buildBroker,
  connect,
  exchange,
  postForm,
} from '../helper.ts'
import { size } from '../size.ts'
import { Visitor } from '../visitor.ts'

const RUNS = Number(process.env.RUNS ?? size(300, 5000))
const NO_SCHEMA_WORDS = /must (be|match|have)|pattern|constant|schema|body\//
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

t.test('an empty parameter counts as omitted (RFC 6749 3.1)', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  for (const name of [
    'scope',
    'redirect_uri',
    'response_mode',
    'dpop_jkt',
    'connection',
    'state',
  ]) {
    const { parameters } = authorizationRequest(app, { [name]: '' })
    const page = await new Visitor().open(
      `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
    )
    t.match(page, { status: 200, body: 'Continue to Ellipsis Drive' }, name)
  }
  const { returned, verifier, parameters } = await authorize(broker, app)
  const redeemed = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri ?? '',
    code_verifier: verifier,
    ...{ scope: '', client_secret: '', refresh_token: '', min_ttl: '', force: '' },
  })
  t.equal(redeemed.status, 200)
  const swapped = await postForm(`${broker.url}/oauth/token`, {
    grant_type: EXCHANGE,
    client_id: app.id,
    subject_token: redeemed.body.access_token as string,
    subject_token_type: JWT,
    ...{ requested_token_type: '', min_ttl: '', force: '', scope: '', audience: '' },
  })
  t.equal(swapped.status, 200)
  const device = await addApp(broker, { device: true })
  const asked = await postForm(`${broker.url}/oauth/device_authorization`, {
    client_id: device.id,
    scope: '',
  })
  t.equal(asked.status, 200)
  const { brokerToken } = await connect(broker, app)
  const revoked = await postForm(`${broker.url}/oauth/revoke`, {
    token: brokerToken,
    token_type_hint: '',
    client_id: app.id,
  })
  t.equal(revoked.status, 200)
})

t.test('a message names the parameter, and what it takes', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  const given = {
    grant_type: EXCHANGE,
    client_id: app.id,
    subject_token: brokerToken,
    subject_token_type: JWT,
  }
  const wrong: [string, string, RegExp][] = [
    ['force', 'yes', /force.*true.*false/],
    ['min_ttl', 'ten', /min_ttl.*seconds/],
    ['min_ttl', '-1', /min_ttl.*seconds/],
    ['requested_token_type', 'x', /requested_token_type/],
    ['scope', 'openid2 email', /scopes openid, profile and projects/],
    ['subject_token_type', 'x', /subject_token_type/],
    ['grant_type', 'password', /grant_type|grant/],
  ]
  for (const [name, value, expected] of wrong) {
    const { status, body } = await postForm(`${broker.url}/oauth/token`, {
      ...given,
      [name]: value,
    })
    t.equal(status, 400, name)
    t.match(body.error_description, expected)
    t.notMatch(body.error_description, NO_SCHEMA_WORDS)
  }
  const json = (body: object) =>
    fetch(`${broker.url}/exchange`, {
      method: 'POST',
      headers: { authorization: `Bearer ${brokerToken}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  for (const [name, value] of Object.entries({ min_ttl: '60', force: 'true' })) {
    const answer = await json({ [name]: value })
    t.equal(answer.status, 400)
    const { error_description: text } = (await answer.json()) as Record<string, string>
    t.match(text, name)
    t.notMatch(text, NO_SCHEMA_WORDS)
  }
})

t.test('a parameter that is sent with a value and without one has that value', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  const form = `${new URLSearchParams({
    grant_type: EXCHANGE,
    client_id: app.id,
    subject_token: brokerToken,
    subject_token_type: JWT,
  }).toString()}&min_ttl=&min_ttl=60&force=&force=&subject_token=&=&=x`
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const swapped = await fetch(`${broker.url}/oauth/token`, { method: 'POST', headers, body: form })
  t.equal(swapped.status, 200)
  const { parameters } = authorizationRequest(app)
  const query = `${new URLSearchParams(parameters).toString()}&state=&scope=&scope=projects&client_id=`
  const page = await new Visitor().open(`${broker.url}/oauth/authorize?${query}`)
  t.match(page, { status: 200, body: `name="state" value="${parameters.state}"` })
})

t.test('empty parameters of the other endpoints', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const plain = '/connect/' + app.id
  const query =
    'response_type=&redirect_uri=&code_challenge=&code_challenge_method=&state=&scope=&connection='
  const page = await new Visitor().open(`${broker.url}${plain}?${query}`)
  t.match(page, { status: 200, body: 'name="plain"' })
  const { brokerToken } = await connect(broker, app)
  for (const body of [{ min_ttl: '' }, { force: '' }, { min_ttl: '', force: true, x: '' }]) {
    t.equal((await exchange(broker, brokerToken, body)).status, 200)
  }
  const denied = await new Visitor().open(`${broker.url}/callback?state=&code=x&error=`)
  t.match(denied, { status: 400, body: 'has no state' })

  const visitor = new Visitor()
  const { parameters } = authorizationRequest(app)
  const begin = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const consent = await visitor.open(begin)
  const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive')
  const back = await allow(visitor, upstream, 'amelie', `${broker.url}/callback`)
  const returned = await visitor.open(`${back.url}&error=&error_description=`, RETURN)
  t.ok(new URL(returned.url).searchParams.get('code'), 'an empty error is none')
})

t.test('an authorization error names the parameter', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const several = await addApp(broker, { redirectUris: [RETURN, `${RETURN}/2`] })
  const { parameters } = authorizationRequest(app)
  const open = (query: URLSearchParams) =>
    new Visitor().open(`${broker.url}/oauth/authorize?${query.toString()}`, RETURN)
  for (const [name, value, expected] of [
    ['response_type', '', /response_type=code/],
    ['response_type', 'token', /response_type=code/],
    ['response_mode', 'form_post', /response_mode.*query/],
    ['scope', 'whatever projects', /scopes openid, profile and projects/],
    ['code_challenge', '', /code_challenge/],
    ['code_challenge', 'x', /code_challenge.*43/],
    ['code_challenge_method', '', /code_challenge_method=S256/],
    ['dpop_jkt', 'x', /dpop_jkt.*43/],
    ['connection', 'x', /connection/],
    ['state', 'x'.repeat(1025), /state.*1,024 bytes/],
  ] as const) {
    const { url } = await open(new URLSearchParams({ ...parameters, [name]: value }))
    const text = new URL(url).searchParams.get('error_description') ?? ''
    t.match(text, expected)
    t.notMatch(text, NO_SCHEMA_WORDS)
  }
  for (const name of Object.keys(parameters)) {
    const query = new URLSearchParams(parameters)
    query.append(name, 'x')
    const { url, body } = await open(query)
    t.match(new URL(url).searchParams.get('error_description') ?? body, `Send ${name} once`)
  }
  for (const [without, expected] of [
    ['client_id', 'Send client_id once'],
    ['redirect_uri', 'Send redirect_uri once'],
  ] as const) {
    const query = { ...parameters, client_id: several.id, [without]: '' }
    t.match(await open(new URLSearchParams(query)), { status: 400, body: expected })
  }
})

t.test('every parameter that is repeated is named', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const credentials = { client_id: app.id, client_secret: clientSecret?.reveal() ?? '' }
  const { paths } = (await (await fetch(`${broker.url}/openapi.json`)).json()) as OpenApi
  for (const path of ['token', 'revoke', 'introspect', 'device_authorization']) {
    const url = `/oauth/${path}`
    const { schema } =
      paths[url]?.post?.requestBody.content['application/x-www-form-urlencoded'] ?? {}
    const names = Object.keys(schema?.properties ?? {})
    t.ok(names.length >= 3, url)
    for (const name of names) {
      const form = new URLSearchParams({ grant_type: EXCHANGE, token: 'x', ...credentials })
      for (let count = form.has(name) ? 1 : 0; count < 2; count++) form.append(name, 'x')
      const answer = await fetch(broker.url + url, { method: 'POST', body: form })
      const { error_description: text } = (await answer.json()) as Record<string, string>
      t.match(text, `Send ${name} once`)
      t.notMatch(text, NO_SCHEMA_WORDS)
    }
  }
})

interface OpenApi {
  paths: Record<
    string,
    { post?: { requestBody: { content: Record<string, { schema: { properties: object } }> } } }
  >
}

const NAMES = [
  ...['grant_type', 'client_id', 'client_secret', 'code', 'code_verifier', 'redirect_uri'],
  ...['refresh_token', 'scope', 'subject_token', 'subject_token_type', 'requested_token_type'],
  ...['min_ttl', 'force', 'token', 'token_type_hint', 'device_code', 'state', 'response_type'],
  ...['response_mode', 'code_challenge', 'code_challenge_method', 'dpop_jkt', 'connection', 'x'],
]

t.test(`${RUNS} sets of parameters: an empty one is as if it were omitted`, async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  const { parameters } = authorizationRequest(app)
  const valid = [...Object.values(parameters), JWT, EXCHANGE, brokerToken, 'true', '60', 'projects']
  const name = fc.constantFrom(...NAMES)
  const value = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...valid, 'authorization_code', 'refresh_token') },
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.toWellFormed()),
  )
  const swap = { grant_type: EXCHANGE, subject_token: brokerToken, subject_token_type: JWT }
  const base = fc.constantFrom<Record<string, string>>({}, swap, parameters)
  const more = fc.dictionary(name, value, { maxKeys: 6 })
  const path = fc.constantFrom(
    ...['/oauth/token', '/oauth/revoke', '/oauth/introspect', '/oauth/device_authorization'],
    ...['/oauth/authorize', `/connect/${app.id}`, '/callback', '/device'],
  )
  const { host } = new URL(broker.url)
  const send = async (path: string, pairs: [string, string][]) => {
    // A refresh can be forced once in ten seconds.
    broker.clock.advance(11_000)
    const text = new URLSearchParams(pairs).toString()
    const isForm = /token|revoke|introspect|device_auth/.test(path)
    const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html' }
    const {
      statusCode,
      body,
      headers: answer,
    } = isForm
      ? await broker.app.inject({ method: 'POST', url: path, headers, payload: text })
      : await broker.app.inject({ url: `${path}?${text}`, headers: { accept: 'text/html', host } })
    if (statusCode >= 500 || /\n +at |node_modules/.test(body)) throw new Error(body)
    if (NO_SCHEMA_WORDS.test(body)) throw new Error(body)
    const location = String(answer.location ?? '')
    const error = isForm ? /"error_description":"[^"]*"/.exec(body)?.[0] : undefined
    const target = location.replace(/(?<=iss=)[^&]*/, '').replace(/(?<=Request\+id%3A\+)[^&]*/, '')
    return JSON.stringify([statusCode, target, error])
  }
  await fc.assert(
    fc.asyncProperty(path, base, more, fc.uniqueArray(name), async (path, base, more, empty) => {
      const pairs = Object.entries({ ...base, ...more })
      const given = pairs.filter(([name]) => !empty.includes(name))
      const withEmpty = [...given, ...empty.map((name): [string, string] => [name, ''])]
      const [omitted, sent] = [await send(path, given), await send(path, withEmpty)]
      if (omitted !== sent) throw new Error(`${omitted} but ${sent}`)
    }),
    { numRuns: RUNS },
  )
  t.pass()
})
