import t from 'tap'
import { RETURN, authorizationRequest } from '../../helper.ts'
import { Visitor } from '../../visitor.ts'
import { setUpBadInput } from './setup.ts'

t.test('malformed authorization requests', async (t) => {
  const { url, app, hasChanged, testUnchanged } = await setUpBadInput(t)

  t.test('authorize: client_id and redirect_uri errors never redirect', async (t) => {
    const { parameters } = authorizationRequest(app)
    const cases: Record<string, Record<string, string>> = {
      'unknown client_id': { client_id: 'app_unknown' },
      'empty client_id': { client_id: '' },
      'SQL in client_id': { client_id: "' or 1=1 --" },
      'wrong redirect URI': { redirect_uri: 'https://evil.example/' },
      'another app’s redirect URI': { redirect_uri: 'https://other.example.com/' },
      'path in another case': { redirect_uri: 'https://app.example.com/Return' },
      'host in another case': { redirect_uri: 'https://APP.example.com/return' },
      'trailing slash': { redirect_uri: `${RETURN}/` },
      'another port': { redirect_uri: 'https://app.example.com:8443/return' },
      'explicit default port': { redirect_uri: 'https://app.example.com:443/return' },
      'percent-encoded': { redirect_uri: 'https://app.example.com/%72eturn' },
      'encoded twice': { redirect_uri: encodeURIComponent(RETURN) },
      'user info': { redirect_uri: 'https://app.example.com@evil.example/return' },
      'user info with the right host': { redirect_uri: 'https://x:y@app.example.com/return' },
      'extra parameter': { redirect_uri: `${RETURN}?next=https://evil.example` },
      fragment: { redirect_uri: `${RETURN}#x` },
      'path with ..': { redirect_uri: `${RETURN}/../return` },
      subdomain: { redirect_uri: 'https://evil.app.example.com/return' },
      'registered host as a prefix': {
        redirect_uri: 'https://app.example.com.evil.example/return',
      },
      http: { redirect_uri: 'http://app.example.com/return' },
      'javascript: URL': { redirect_uri: 'javascript:alert(1)' },
      backslash: { redirect_uri: 'https://app.example.com\\@evil.example/return' },
      'line break': { redirect_uri: `${RETURN}\r\nset-cookie: a=b` },
    }
    for (const [title, wrong] of Object.entries(cases)) {
      await t.test(title, async (t) => {
        hasChanged()
        const query = new URLSearchParams({ ...parameters, ...wrong }).toString()
        for (const path of ['/oauth/authorize', '/connect/app_unknown']) {
          const answer = await fetch(`${url}${path}?${query}`, { redirect: 'manual' })
          t.equal(answer.status, 400)
          t.equal(answer.headers.get('location'), null, 'no redirect')
          t.match(answer.headers.get('content-security-policy'), "frame-ancestors 'none'")
          t.match(await answer.text(), 'Something went wrong')
        }
        t.notOk(hasChanged())
      })
    }
    for (const name of ['client_id', 'redirect_uri']) {
      await t.test(`${name} twice`, async (t) => {
        const query = new URLSearchParams({ ...parameters, response_type: 'code' })
        query.append(name, parameters[name as 'client_id'])
        const answer = await fetch(`${url}/oauth/authorize?${query.toString()}`, {
          redirect: 'manual',
        })
        t.equal(answer.status, 400)
        t.equal(answer.headers.get('location'), null)
      })
    }
  })

  t.test('authorize: other errors are sent to the redirect URI with state and iss', async (t) => {
    const { parameters } = authorizationRequest(app)
    const cases: [string, Record<string, string | undefined>, string][] = [
      ['wrong response_type', { response_type: 'token' }, 'unsupported_response_type'],
      ['no response_type', { response_type: undefined }, 'invalid_request'],
      ['no code_challenge', { code_challenge: undefined }, 'invalid_request'],
      ['no code_challenge_method', { code_challenge_method: undefined }, 'invalid_request'],
      ['method plain', { code_challenge_method: 'plain' }, 'invalid_request'],
      ['empty code_challenge_method', { code_challenge_method: '' }, 'invalid_request'],
      ['code_challenge of 44 characters', { code_challenge: 'x'.repeat(44) }, 'invalid_request'],
      ['code_challenge with padding', { code_challenge: `${'x'.repeat(42)}=` }, 'invalid_request'],
      ['empty code_challenge', { code_challenge: '' }, 'invalid_request'],
      ['unknown scope', { scope: 'projects admin' }, 'invalid_scope'],
      ['invalid connection', { connection: 'con_x' }, 'invalid_request'],
      ['invalid dpop_jkt', { dpop_jkt: 'short' }, 'invalid_request'],
      ['unsupported response_mode', { response_mode: 'form_post' }, 'invalid_request'],
    ]
    for (const [title, wrong, error] of cases) {
      await t.test(title, async (t) => {
        hasChanged()
        const pairs = Object.entries({ ...parameters, ...wrong })
        const sent = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined)
        const query = new URLSearchParams(sent).toString()
        const answer = await fetch(`${url}/oauth/authorize?${query}`, { redirect: 'manual' })
        const { searchParams, origin, pathname } = new URL(answer.headers.get('location') ?? '')
        t.equal(origin + pathname, RETURN)
        t.match(Object.fromEntries(searchParams), { error, state: parameters.state, iss: url })
        t.match(searchParams.get('error_description'), /^[\x20-\x7e]{10,}$/)
        t.notOk(hasChanged())
      })
    }
  })

  for (const [title, parameter] of [
    ['repeated parameter', { name: 'scope', value: 'projects' }],
    ['state too long', { name: 'state', value: 'x'.repeat(2000) }],
  ] as const) {
    testUnchanged(`authorize: ${title}`, async (t) => {
      const query = new URLSearchParams({
        ...authorizationRequest(app).parameters,
        scope: 'projects',
      })
      if (parameter.name === 'state') query.delete('state')
      query.append(parameter.name, parameter.value)
      const answer = await fetch(`${url}/oauth/authorize?${query.toString()}`, {
        redirect: 'manual',
      })
      const { searchParams } = new URL(answer.headers.get('location') ?? '')
      t.equal(searchParams.get('error'), 'invalid_request')
    })
  }

  testUnchanged('authorize: no challenge', async (t) => {
    const { parameters } = authorizationRequest(app, { code_challenge: '' })
    const query = new URLSearchParams(parameters).toString()
    const answer = await fetch(`${url}/oauth/authorize?${query}`, { redirect: 'manual' })
    const { searchParams } = new URL(answer.headers.get('location') ?? '')
    t.match(searchParams.get('error_description'), /turn on PKCE .* nonce instead/)
  })

  testUnchanged('connect link: code_challenge_method without code_challenge', async (t) => {
    const address = `${url}/connect/${app.id}?code_challenge_method=S256`
    const answer = await fetch(address, { redirect: 'manual' })
    t.match(answer.headers.get('location'), 'error=invalid_request')
  })

  t.test('a browser with very many flows keeps a limited number of flow cookies', async (t) => {
    const { parameters } = authorizationRequest(app)
    const address = `${url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
    const visitor = new Visitor()
    const flows = () => [...visitor.cookies(url).keys()].filter((name) => name.includes('flow-'))
    for (let count = 0; count < 23; count++) {
      await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive', {}, RETURN)
    }
    t.ok(flows().length < 23, `${flows().length} flow cookies`)
    t.ok(flows().length >= 1)
  })

  testUnchanged('consent from another site or from a frame', async (t) => {
    const { parameters } = authorizationRequest(app)
    const visitor = new Visitor()
    const address = `${url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
    const page = await visitor.open(address)
    t.match(page.headers.get('content-security-policy'), "frame-ancestors 'none'")
    t.equal(page.headers.get('x-frame-options'), 'DENY')
    const csrf = /name="_csrf" value="([^"]*)"/.exec(page.body)?.[1] ?? ''
    const post = (headers: Record<string, string>, form = {}) =>
      visitor.open(`${url}/oauth/authorize`, 'https://', {
        method: 'POST',
        body: new URLSearchParams({ ...parameters, decision: 'allow', _csrf: csrf, ...form }),
        headers,
      })
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ]) {
      t.equal((await post(headers)).status, 403, JSON.stringify(headers))
    }
    t.equal((await post({ origin: url }, { _csrf: `${csrf}x` })).status, 403)
    t.equal((await post({ origin: url }, { _csrf: '' })).status, 403)
  })
})
