import t from 'tap'
import {
  RETURN,
  addApp,
  allow,
  authorizationRequest,
  authorize,
  buildBroker,
  postForm,
} from '../helper.ts'
import type { AppSettings } from '../../server/oauth/apps.ts'
import { Visitor } from '../visitor.ts'
import type { Test } from 'tap'

const LAPSED = 'https://lapsed.example/return'

/** An app with two redirect URIs; `giveUp` takes the second away. */
async function setUp(t: Test, settings: Partial<AppSettings> = {}) {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { redirectUris: [RETURN, LAPSED], ...settings })
  const giveUp = () => broker.services.apps.set(app.id, { redirectUris: [RETURN] }, 'test')
  /** A visitor who was asked, and is at Ellipsis Drive. */
  const leave = async (redirectUri: string) => {
    const { parameters } = authorizationRequest(app, { redirect_uri: redirectUri })
    const visitor = new Visitor()
    const query = new URLSearchParams(parameters).toString()
    const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
    const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
    return { visitor, login }
  }
  return { broker, app, giveUp, leave }
}

t.test('nobody returns to an address that the app gave up meanwhile', async (t) => {
  const { broker, giveUp, leave } = await setUp(t)
  const [lapsed, other] = [await leave(LAPSED), await leave(RETURN)]
  await giveUp()
  const page = await allow(lapsed.visitor, lapsed.login, 'amelie', 'https://')
  t.equal(page.status, 400)
  t.match(page.body, 'no longer one that this app has registered')
  t.equal(broker.standIn.calls.token, 0, 'the code was not touched')
  const back = await allow(other.visitor, other.login, 'amelie', 'https://')
  t.match(back.url, `${RETURN}?code=`)
})

for (const deliver of ['code', 'fragment'] as const) {
  t.test(`nor to one given up while Ellipsis Drive answers (${deliver})`, async (t) => {
    const { broker, giveUp, leave } = await setUp(t, { deliver })
    const { store } = broker.services
    const { saveConnection } = store
    store.saveConnection = async (...given) => {
      const saved = await saveConnection(...given)
      await giveUp()
      return saved
    }
    const { visitor, login } = await leave(LAPSED)
    const page = await allow(visitor, login, 'amelie', 'https://')
    t.equal(page.status, 400)
    t.match(page.body, 'no longer one that this app has registered')
    t.equal((await store.listEvents({ limit: 9 })).rows.filter(isConnected).length, 1, 'it is kept')
  })
}

t.test('a code that went there is worth nothing', async (t) => {
  const { broker, app, giveUp } = await setUp(t)
  const { returned, verifier } = await authorize(broker, app, {
    parameters: { redirect_uri: LAPSED },
  })
  await giveUp()
  const form = {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: LAPSED,
    code_verifier: verifier,
  }
  const answer = await postForm(`${broker.url}/oauth/token`, form)
  t.match(answer, { status: 400, body: { error: 'invalid_grant', error_description: 'no longer' } })
})

const isConnected = ({ action }: { action: string }): boolean => action === 'connection.connected'
