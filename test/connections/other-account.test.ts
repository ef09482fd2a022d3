/** The person comes back from Ellipsis Drive with another account than the app asked for. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { App, Connection, Grant } from '../../db/store.ts'
import { findOtherAccount } from '../../server/connections/other-account.ts'
import type { Flow } from '../../server/connections/flow.ts'
import {
  RETURN,
  addApp,
  allow,
  authorizationRequest,
  authorize,
  buildBroker,
  connect,
  postForm,
} from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { serve } from '../processes.ts'
import { addSessionApp, cookieNameOf } from '../oauth/session/begin.ts'
import { Visitor } from '../visitor.ts'

/** A visitor who asks to connect an account, and signs in at Ellipsis Drive as a user. */
async function comeBack(
  broker: TestBroker,
  app: App,
  parameters: Record<string, string>,
  user = 'bo',
) {
  const visitor = new Visitor()
  const request = authorizationRequest(app, parameters)
  const query = new URLSearchParams(request.parameters).toString()
  const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, user, RETURN)
  return { visitor, page, ...request }
}

const accountsOf = async ({ services }: TestBroker) =>
  (await Array.fromAsync(services.connections.all())).map(({ username }) => username).sort()

/** Does any file of the broker contain the text? */
const isStored = ({ dataDir }: TestBroker, text: string): boolean =>
  readdirSync(dataDir, { recursive: true, withFileTypes: true }).some(
    (file) => file.isFile() && readFileSync(join(file.parentPath, file.name)).includes(text),
  )

t.test('the right account is connected without a question', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { claims, connectionId } = await connect(broker, app, { user: 'bo' })
  const { connection } = await broker.services.connections.show(connectionId)
  t.ok(connection.accountId)
  for (const hint of ['bo', 'BO', connection.accountId ?? '']) {
    const { page } = await comeBack(broker, app, { login_hint: hint })
    t.ok(new URL(page.url).searchParams.get('code'), hint)
  }
  const { page } = await comeBack(broker, app, { connection: claims.sub ?? '' })
  t.ok(new URL(page.url).searchParams.get('code'))
})

t.test('accounts are compared by id, and by name if one of them has no id', async (t) => {
  const compare = (
    [accountId, username]: [string | null, string],
    [id, name]: [string | null, string],
    isStrictAccount = false,
  ) => {
    const store = {
      getConnection: async () => ({ id: 'con', accountId, username }) as Connection,
      listGrants: async () => [{ appId: 'app' } as Grant],
    }
    const flow = { loginHint: null, reconnect: 'con', appId: 'app', isStrictAccount } as Flow
    return findOtherAccount(store, flow, { id, username: name })
  }
  t.equal(await compare(['1', 'amelie'], ['1', 'renamed']), null)
  t.match(await compare(['1', 'amelie'], ['2', 'amelie']), { expected: 'amelie', isCertain: true })
  t.equal(await compare([null, 'am\u00e9lie'], ['1', 'AME\u0301LIE']), null, 'in any spelling')
  t.match(await compare([null, 'amelie'], ['1', 'bo']), { isCertain: true })
  for (const account of [['1', ''] as const, [null, ''] as const])
    t.match(await compare([null, 'amelie'], [...account]), { isCertain: false })
  t.equal(await compare([null, ''], ['1', 'bo']), null, 'the name was erased')
  t.match(await compare([null, ''], ['1', 'bo'], true), { isCertain: false }, 'strict')
})

t.test('another one: nothing is stored until the person decides', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { visitor, page, parameters, verifier } = await comeBack(broker, app, {
    login_hint: 'ame<b>lie',
  })
  t.equal(page.status, 200)
  t.equal(page.headers.get('cache-control'), 'no-store')
  t.match(page.body, /asks for .*ame&lt;b&gt;lie.* You came back with .*bo/s)
  t.same(await accountsOf(broker), [])
  for (const token of broker.standIn.issued()) t.notOk(page.body.includes(token), 'sealed')

  const reloaded = await visitor.open(page.url)
  t.match(reloaded.body, 'Continue as')
  const done = await visitor.press(reloaded, 'Continue as bo', {}, RETURN)
  const answer = new URL(done.url).searchParams
  t.equal(answer.get('state'), parameters.state)
  t.same(await accountsOf(broker), ['bo'])
  const redeemed = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'authorization_code', client_id: app.id, code_verifier: verifier },
    code: answer.get('code') ?? '',
  })
  t.equal(redeemed.status, 200)
  const again = await visitor.press(page, 'Continue as bo', {}, RETURN)
  t.equal(new URL(again.url).searchParams.get('code'), answer.get('code'), 'a double click')
  const late = await visitor.press(page, 'Use another account')
  t.equal(late.status, 400, 'decided already')
})

t.test('another account is used instead, and the first leaves no trace', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app, { user: 'amelie' })
  const before = await broker.services.store.getConnection(connectionId)
  const link = { connection: connectionId }
  const { visitor, page, parameters } = await comeBack(broker, app, link)
  const dropped = broker.standIn.issued().at(-1) ?? 'none'
  const restarted = await visitor.press(page, 'Use another account', {}, RETURN)
  // Ellipsis Drive still has its own session, and may choose the same account again.
  t.match(restarted.body, /You came back with .*bo/s)
  t.same(await broker.services.store.getConnection(connectionId), before, 'nothing changed')
  t.notOk(isStored(broker, dropped))

  const clean = new Visitor()
  const asked = await comeBackTo(broker, app, clean, link, 'bo')
  broker.standIn.switches.askAgain = true
  const consent = await clean.press(asked, 'Use another account')
  const login = await clean.press(consent, 'Log in as someone else')
  const done = await allow(clean, login, 'amelie', RETURN)
  const answer = new URL(done.url).searchParams
  t.ok(answer.get('code'))
  t.not(answer.get('state'), parameters.state)
  t.same(await accountsOf(broker), ['amelie'])
})

async function comeBackTo(
  broker: TestBroker,
  app: App,
  visitor: Visitor,
  more: Record<string, string>,
  user: string,
) {
  const query = new URLSearchParams(authorizationRequest(app, more).parameters).toString()
  const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  return allow(visitor, await visitor.press(asked, 'Continue to Ellipsis Drive'), user, RETURN)
}

/** Connects a user after a pushed request with `strict_account`. Returns what the app gets. */
async function comeBackStrictly(
  broker: TestBroker,
  app: App,
  more: Record<string, string>,
  user: string,
) {
  const { parameters } = authorizationRequest(app, { ...more, strict_account: 'true' })
  const { body } = await postForm(`${broker.url}/oauth/par`, parameters)
  const visitor = new Visitor()
  const query = new URLSearchParams({
    client_id: app.id,
    request_uri: String(body.request_uri),
  }).toString()
  const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  return new URL((await allow(visitor, login, user, RETURN)).url).searchParams
}

t.test('an app with strict_account accepts no other', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const strict = (user: string) => comeBackStrictly(broker, app, { login_hint: 'amelie' }, user)
  const refused = await strict('bo')
  t.equal(refused.get('error'), 'access_denied')
  t.match(refused.get('error_description'), 'another account')
  t.same(await accountsOf(broker), [])
  broker.standIn.switches.refuseAccount = true
  t.equal((await strict('amelie')).get('error'), 'access_denied', 'nobody says whose account it is')
  broker.standIn.switches.refuseAccount = false
  t.ok((await strict('amelie')).get('code'))

  const inUrl = await comeBack(broker, app, { login_hint: 'amelie', strict_account: 'true' })
  t.match(inUrl.page.body, 'Continue as', 'only a pushed request can be strict')
})

t.test('a strict reconnect accepts no account that cannot be compared', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, await addApp(broker), { user: 'amelie' })
  const strict = (connection: string, user: string) =>
    comeBackStrictly(broker, app, { connection }, user)
  const refused = [await strict(`con_${'x'.repeat(22)}`, 'bo'), await strict(connectionId, 'bo')]
  for (const answer of refused) t.equal(answer.get('error'), 'access_denied')
  t.same(await accountsOf(broker), ['amelie'])
  t.notMatch(String(refused[1]), 'amelie')
  t.ok((await strict(connectionId, 'amelie')).get('code'))
})

t.test('without an account from Ellipsis Drive there is nothing to ask', async (t) => {
  const broker = await buildBroker(t, { switches: { refuseAccount: true } })
  const app = await addApp(broker)
  const { page } = await comeBack(broker, app, { login_hint: 'amelie' })
  t.ok(new URL(page.url).searchParams.get('code'))
})

t.test('the name of an account is told only to its apps', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker), { user: 'amelie' })
  const stranger = await addApp(broker, { name: 'Stranger' })
  const { page } = await comeBack(broker, stranger, { connection: connectionId })
  t.ok(new URL(page.url).searchParams.get('code'))
})

t.test('a decision is of one browser, for five minutes, in every process', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const first = await comeBack(broker, app, { login_hint: 'amelie' })
  const stolen = await new Visitor().press(first.page, 'Continue as bo')
  t.equal(stolen.status, 403, 'of another browser')

  const second = await comeBack(broker, app, { login_hint: 'amelie' })
  const [, waiting = ''] = /name="waiting" value="([^"]*)"/.exec(first.page.body) ?? []
  const mixed = await second.visitor.press(second.page, 'Continue as bo', { waiting })
  t.equal(mixed.status, 400, 'the tokens of another flow')
  const good = await second.visitor.press(second.page, 'Continue as bo', {}, RETURN)
  t.ok(new URL(good.url).searchParams.get('code'), 'which leaves its own decision')

  broker.clock.advance(5 * 60_000 + 1)
  const late = await first.visitor.press(first.page, 'Continue as bo')
  t.equal(late.status, 400)
  t.match(late.body, 'expired')
})

/** Of the broker's own site. */
const LOOPBACK = 'http://127.0.0.1:5173/map'

t.test('what changed before the decision holds for it', async (t) => {
  const broker = await buildBroker(t)
  const { apps, store } = broker.services
  const changes: Record<string, [before: object, change: object]> = {
    'the redirect URI': [{}, { redirectUris: ['https://other.example/'] }],
    'the policy': [{}, { access: 'proxy' }],
    'the session option': [{ access: 'proxy', redirectUris: [LOOPBACK] }, { session: 'cookie' }],
  }
  for (const [name, [before, change]] of Object.entries(changes)) {
    const app = await addApp(broker, before)
    const { visitor, page } = await comeBack(broker, app, { login_hint: 'amelie' })
    await apps.set(app.id, change, 'test')
    const done = await visitor.press(page, 'Continue as bo', {}, app.redirectUris[0])
    t.equal(URL.parse(done.url)?.searchParams.get('code') ?? null, null, name)
    t.same(await accountsOf(broker), [], name)
  }

  const app = await addApp(broker)
  const { visitor, page } = await comeBack(broker, app, { login_hint: 'amelie' })
  const save = store.saveConnection.bind(store)
  store.saveConnection = async (connection) => {
    await apps.set(app.id, { redirectUris: ['https://other.example/'] }, 'test')
    return save(connection)
  }
  const done = await visitor.press(page, 'Continue as bo', {}, RETURN)
  t.equal(done.status, 400, 'nothing goes to an address that the app gave up meanwhile')
})

t.test('another account may be used although the pushed request is used up', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { parameters } = authorizationRequest(app, { login_hint: 'amelie' })
  const { body } = await postForm(`${broker.url}/oauth/par`, parameters)
  const pushed = { client_id: app.id, request_uri: String(body.request_uri) }
  const visitor = new Visitor()
  const query = new URLSearchParams(pushed).toString()
  const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'bo', RETURN)
  const restarted = await visitor.press(page, 'Use another account', {}, RETURN)
  const done = await visitor.press(restarted, 'Continue as bo', {}, RETURN)
  t.ok(new URL(done.url).searchParams.get('code'))
})

t.test('a session begins after the decision', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker)
  const [redirectUri = ''] = app.redirectUris
  const query = new URLSearchParams({ redirect_uri: redirectUri, state: 'x', login_hint: 'amelie' })
  const visitor = new Visitor()
  const asked = await visitor.open(`${broker.url}/connect/${app.id}?${query.toString()}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'bo', redirectUri)
  const done = await visitor.press(page, 'Continue as bo', {}, redirectUri)
  t.match(new URL(done.url).search, /^\?state=x&iss=[^&]+$/)
  t.ok(visitor.cookies(new URL(broker.url).origin).get(cookieNameOf(app)))
})

t.test('another process takes the decision', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { visitor, page } = await comeBack(broker, app, { login_hint: 'amelie' })
  const other = await serve(t, broker.env)
  const cookie = [...visitor.cookies(broker.url)].map((pair) => pair.join('=')).join('; ')
  const fields = [...page.body.matchAll(/type="hidden" name="([^"]+)" value="([^"]*)"/g)]
  const form = Object.fromEntries(fields.map(([, name, value]) => [name, value]))
  const response = await fetch(`${other.url}/callback/account`, {
    method: 'POST',
    body: new URLSearchParams({ ...form, decision: 'continue' }),
    headers: { cookie, host: new URL(broker.url).host, origin: new URL(broker.url).origin },
    redirect: 'manual',
  })
  t.equal(response.status, 303)
  t.ok(new URL(response.headers.get('location') ?? '').searchParams.get('code'))
  t.same(await accountsOf(broker), ['bo'])
})

t.test('the form has room for two tokens of 16 KiB', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { visitor, page } = await comeBack(broker, app, { login_hint: 'amelie' })
  const padding = 'x'.repeat(44_000 - page.body.length)
  const done = await visitor.press(page, 'Continue as bo', { padding }, RETURN)
  t.ok(new URL(done.url).searchParams.get('code'))
})

t.test('a reconnect link in the app’s own flow also asks', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app, { user: 'amelie' })
  const parameters = { connection: connectionId }
  const { returned } = await authorize(broker, app, { user: 'bo', parameters })
  t.ok(returned.searchParams.get('code'), 'after the person continued')
  t.same(await accountsOf(broker), ['amelie', 'bo'])
})
