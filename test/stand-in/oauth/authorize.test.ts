import t from 'tap'
import { Visitor } from '../../visitor.ts'
import {
  authorize,
  authorizeUrl,
  readRedirectParameters,
  client,
  LOGIN_BUTTONS,
  REDIRECT_URI,
  start,
} from '../helper.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

t.test('login and consent return a code and the unchanged state', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const state = 'ä&=+/ 0123456789'.padEnd(50, '~')
  const login = await visitor.open(authorizeUrl(running, { state }), REDIRECT_URI)
  t.match(login.body, 'This is not Ellipsis Drive')
  t.equal(login.headers.get('cache-control'), 'no-store')
  t.match(login.headers.get('content-security-policy'), "frame-ancestors 'none'")
  const consent = await visitor.press(login, LOGIN_BUTTONS.bo, {}, REDIRECT_URI)
  t.match(consent.body, client.name)
  t.match(consent.body, 'Bo Lindqvist (bo)')
  const answer = readRedirectParameters(await visitor.press(consent, 'Allow', {}, REDIRECT_URI))
  t.match(answer, { code: UUID, state })
  t.ok(running.standIn.issued().includes(answer.code ?? ''))
})

t.test('a refusal returns access_denied', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running, { state: 'mine' }), REDIRECT_URI)
  const consent = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  const back = await visitor.press(consent, 'Refuse', {}, REDIRECT_URI)
  t.strictSame(readRedirectParameters(back), {
    error: 'access_denied',
    error_description: 'The user refused access.',
    state: 'mine',
  })
})

t.test('login and consent are remembered, unless askAgain is set', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), REDIRECT_URI)
  const consent = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  await visitor.press(consent, 'Allow', {}, REDIRECT_URI)
  const second = await visitor.open(authorizeUrl(running), REDIRECT_URI)
  t.match(readRedirectParameters(second), { code: UUID }, 'redirected without a page')

  running.standIn.switches.askAgain = true
  const consentAgain = await visitor.open(authorizeUrl(running), REDIRECT_URI)
  t.match(consentAgain.body, '>Allow<')

  running.standIn.switches.askAgain = false
  const other = { ...client, id: 'another', name: 'Another' }
  running.standIn.clients.push(other)
  const another = await visitor.open(authorizeUrl(running, { client_id: 'another' }), REDIRECT_URI)
  t.match(another.body, 'Another', 'another client needs its own consent')
})

t.test('log in as someone else', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), REDIRECT_URI)
  const consent = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  const again = await visitor.press(consent, 'Log in as someone else', {}, REDIRECT_URI)
  t.match(again.body, LOGIN_BUTTONS.bo)
  t.equal(visitor.cookies(running.url).size, 0)
  const late = await visitor.press(consent, 'Allow', {}, REDIRECT_URI)
  t.match(late.body, LOGIN_BUTTONS.bo, 'the old form does not give consent')
})

t.test('redirect_uri must match exactly; it is optional if one is registered', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running, { redirect_uri: undefined }), REDIRECT_URI)
  t.match(login.body, LOGIN_BUTTONS.amelie)
  for (const redirect_uri of [
    `${REDIRECT_URI}/`,
    `${REDIRECT_URI}?a=b`,
    'https://evil.example.com',
  ]) {
    const page = await visitor.open(authorizeUrl(running, { redirect_uri }))
    t.equal(page.status, 400, redirect_uri)
    t.match(page.body, 'redirect_uri')
  }
  const second = 'com.example.app:/cb?keep=1'
  running.standIn.clients[0] = { ...client, redirectUris: [REDIRECT_URI, second] }
  const missing = await visitor.open(authorizeUrl(running, { redirect_uri: undefined }))
  t.equal(missing.status, 400, 'required if two are registered')
  const form = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  t.equal(form.status, 400, 'also checked when the form is posted')
  const url = authorizeUrl(running, { redirect_uri: second, state: 's' })
  const consentPage = await visitor.press(
    await visitor.open(url, second),
    LOGIN_BUTTONS.amelie,
    {},
    second,
  )
  const back = await visitor.press(consentPage, 'Allow', {}, second)
  t.match(back.url, /^com\.example\.app:\/cb\?keep=1&code=[0-9a-f-]{36}&state=s$/)
})

t.test('invalid forms are rejected', async (t) => {
  const running = await start(t)
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running), REDIRECT_URI)
  const unknownUser = await visitor.press(login, LOGIN_BUTTONS.amelie, { user: 'nobody' })
  t.equal(unknownUser.status, 400)
  const consent = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  const unknownDecision = await visitor.press(consent, 'Allow', { decision: 'perhaps' })
  t.equal(unknownDecision.status, 400)
})

t.test('errors of client and state are shown only to the user', async (t) => {
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

t.test('other errors are sent to the redirect URI', async (t) => {
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
    const back = await visitor.open(
      authorizeUrl(running, { ...query, state: 'mine' }),
      REDIRECT_URI,
    )
    t.match(
      readRedirectParameters(back),
      { error, error_description: String, state: 'mine' },
      JSON.stringify(query),
    )
  }
})

t.test(
  'scope projects is accepted and the default; a challenge of 50 characters is accepted',
  async (t) => {
    const running = await start(t)
    t.match(await authorize(running, { scope: 'projects' }), UUID)
    t.match(await authorize(running, { code_challenge: 'c'.repeat(50) }), UUID)
  },
)

t.test('page content is escaped', async (t) => {
  const name = `<b>"Tom" & 'Jerry'</b>`
  const running = await start(t, { clients: [{ ...client, name }] })
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(running, { state: '"><b>' }), REDIRECT_URI)
  const consent = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  t.match(consent.body, '&lt;b&gt;&quot;Tom&quot; &amp; &#39;Jerry&#39;&lt;/b&gt;')
  t.notMatch(consent.body, '<b>')
  const unnamed = await start(t, {
    clients: [{ id: 'plain', secret: 's', redirectUris: [REDIRECT_URI] }],
  })
  const page = await visitor.open(authorizeUrl(unnamed, { client_id: 'plain' }), REDIRECT_URI)
  t.match((await visitor.press(page, LOGIN_BUTTONS.bo, {}, REDIRECT_URI)).body, 'plain')
})

t.test('the oldest session is deleted first', async (t) => {
  const running = await start(t)
  const first = new Visitor()
  const login = await first.open(authorizeUrl(running), REDIRECT_URI)
  await first.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  const others = Array.from({ length: 1000 }, () => new Visitor())
  for (const other of others) await other.press(login, LOGIN_BUTTONS.bo, {}, REDIRECT_URI)
  t.match((await first.open(authorizeUrl(running), REDIRECT_URI)).body, LOGIN_BUTTONS.amelie)
})
