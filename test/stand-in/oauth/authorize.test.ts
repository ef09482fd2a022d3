import t from 'tap'
import { Visitor } from '../../visitor.ts'
import { authorize, authorizeUrl, broughtBack, client, LOG_IN, RETURN, start } from '../helper.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

t.test('log in, allow: back with a code, a UUID, and the state unchanged', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const state = 'ä&=+/ 0123456789'.padEnd(50, '~')
  const login = await visitor.open(authorizeUrl(running, { state }), RETURN)
  t.match(login.body, 'This is not Ellipsis Drive')
  t.equal(login.headers.get('cache-control'), 'no-store')
  t.match(login.headers.get('content-security-policy'), "frame-ancestors 'none'")
  const consent = await visitor.press(login, LOG_IN.bo, {}, RETURN)
  t.match(consent.body, client.name)
  t.match(consent.body, 'Bo Lindqvist (bo)')
  const answer = broughtBack(await visitor.press(consent, 'Allow', {}, RETURN))
  t.match(answer, { code: UUID, state })
  t.ok(running.standIn.issued().includes(answer.code ?? ''))
})

t.test('a refusal goes back as access_denied', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running, { state: 'mine' }), RETURN)
  const consent = await visitor.press(login, LOG_IN.amelie, {}, RETURN)
  const back = await visitor.press(consent, 'Refuse', {}, RETURN)
  t.strictSame(broughtBack(back), {
    error: 'access_denied',
    error_description: 'The user has refused access.',
    state: 'mine',
  })
})

t.test('login and consent are remembered, unless the switch asks again', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), RETURN)
  const consent = await visitor.press(login, LOG_IN.amelie, {}, RETURN)
  await visitor.press(consent, 'Allow', {}, RETURN)
  const second = await visitor.open(authorizeUrl(running), RETURN)
  t.match(broughtBack(second), { code: UUID }, 'back at once')

  running.standIn.switches.askAgain = true
  const asked = await visitor.open(authorizeUrl(running), RETURN)
  t.match(asked.body, '>Allow<')

  running.standIn.switches.askAgain = false
  const other = { ...client, id: 'another', name: 'Another' }
  running.standIn.clients.push(other)
  const another = await visitor.open(authorizeUrl(running, { client_id: 'another' }), RETURN)
  t.match(another.body, 'Another', 'another client is asked for')
})

t.test('log in as someone else', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), RETURN)
  const consent = await visitor.press(login, LOG_IN.amelie, {}, RETURN)
  const again = await visitor.press(consent, 'Log in as someone else', {}, RETURN)
  t.match(again.body, LOG_IN.bo)
  t.equal(visitor.cookies(running.url).size, 0)
  const late = await visitor.press(consent, 'Allow', {}, RETURN)
  t.match(late.body, LOG_IN.bo, 'the old form allows nothing')
})

t.test('redirect URI: exact; optional if only one is registered', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running, { redirect_uri: undefined }), RETURN)
  t.match(login.body, LOG_IN.amelie)
  for (const redirect_uri of [`${RETURN}/`, `${RETURN}?a=b`, 'https://evil.example.com']) {
    const page = await visitor.open(authorizeUrl(running, { redirect_uri }))
    t.equal(page.status, 400, redirect_uri)
    t.match(page.body, 'redirect_uri')
  }
  const second = 'com.example.app:/cb?keep=1'
  running.standIn.clients[0] = { ...client, redirectUris: [RETURN, second] }
  const missing = await visitor.open(authorizeUrl(running, { redirect_uri: undefined }))
  t.equal(missing.status, 400, 'with two, one must be named')
  const form = await visitor.press(login, LOG_IN.amelie, {}, RETURN)
  t.equal(form.status, 400, 'also when a form is sent')
  const url = authorizeUrl(running, { redirect_uri: second, state: 's' })
  const asked = await visitor.press(await visitor.open(url, second), LOG_IN.amelie, {}, second)
  const back = await visitor.press(asked, 'Allow', {}, second)
  t.match(back.url, /^com\.example\.app:\/cb\?keep=1&code=[0-9a-f-]{36}&state=s$/)
})

t.test('a form that is not ours', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), RETURN)
  const nobody = await visitor.press(login, LOG_IN.amelie, { user: 'nobody' })
  t.equal(nobody.status, 400)
  const consent = await visitor.press(login, LOG_IN.amelie, {}, RETURN)
  const odd = await visitor.press(consent, 'Allow', { decision: 'perhaps' })
  t.equal(odd.status, 400)
})

t.test('what only the user is told: client, state', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const cases = {
    client_id: { client_id: 'nobody' },
    state: { state: 'x'.repeat(51) },
  }
  for (const [name, query] of Object.entries(cases)) {
    const page = await visitor.open(authorizeUrl(running, query))
    t.equal(page.status, 400)
    t.match(page.body, name)
  }
  const twice = await visitor.open(`${authorizeUrl(running, { state: 'a' })}&state=b`)
  t.match(twice.body, 'state must be sent once')
})

t.test('what the client is told at its redirect URI', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const cases: [Record<string, string | undefined>, string][] = [
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ response_type: undefined }, 'unsupported_response_type'],
    [{ scope: 'everything' }, 'invalid_scope'],
    [{ code_challenge: 'c'.repeat(51) }, 'invalid_request'],
    [{ code_challenge: 'c', code_challenge_method: 's256' }, 'invalid_request'],
  ]
  for (const [query, error] of cases) {
    const back = await visitor.open(authorizeUrl(running, { ...query, state: 'mine' }), RETURN)
    t.match(
      broughtBack(back),
      { error, error_description: String, state: 'mine' },
      JSON.stringify(query),
    )
  }
})

t.test('the scope is projects, said or not; a challenge of 50 characters fits', async (t) => {
  const running = await start(t)
  t.match(await authorize(running, { scope: 'projects' }), UUID)
  t.match(await authorize(running, { code_challenge: 'c'.repeat(50) }), UUID)
})

t.test('what is shown is escaped', async (t) => {
  const name = `<b>"Tom" & 'Jerry'</b>`
  const running = await start(t, { clients: [{ ...client, name }] })
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running, { state: '"><b>' }), RETURN)
  const consent = await visitor.press(login, LOG_IN.amelie, {}, RETURN)
  t.match(consent.body, '&lt;b&gt;&quot;Tom&quot; &amp; &#39;Jerry&#39;&lt;/b&gt;')
  t.notMatch(consent.body, '<b>')
  const unnamed = await start(t, {
    clients: [{ id: 'plain', secret: 's', redirectUris: [RETURN] }],
  })
  const page = await visitor.open(authorizeUrl(unnamed, { client_id: 'plain' }), RETURN)
  t.match((await visitor.press(page, LOG_IN.bo, {}, RETURN)).body, 'plain')
})

t.test('logins are forgotten, the oldest first', async (t) => {
  const running = await start(t)
  const first = new Visitor()
  const login = await first.open(authorizeUrl(running), RETURN)
  await first.press(login, LOG_IN.amelie, {}, RETURN)
  const others = Array.from({ length: 1000 }, () => new Visitor())
  for (const other of others) await other.press(login, LOG_IN.bo, {}, RETURN)
  t.match((await first.open(authorizeUrl(running), RETURN)).body, LOG_IN.amelie)
})
