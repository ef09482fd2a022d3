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
import type { AppSettings } from '../../server/oauth/app-settings.ts'
import { Visitor } from '../visitor.ts'
import type { Test } from 'tap'

const REMOVED = 'https://removed.example/return'

/** An app with two redirect URIs; `unregister` removes the second. */
async function setUp(t: Test, settings: Partial<AppSettings> = {}) {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { redirectUris: [RETURN, REMOVED], ...settings })
  const unregister = () => broker.services.apps.set(app.id, { redirectUris: [RETURN] }, 'test')
  /** A visitor who consented, and is at Ellipsis Drive. */
  const startAuthorization = async (redirectUri: string) => {
    const { parameters } = authorizationRequest(app, { redirect_uri: redirectUri })
    const visitor = new Visitor()
    const query = new URLSearchParams(parameters).toString()
    const asked = await visitor.open(`${broker.url}/oauth/authorize?${query}`)
    const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
    return { visitor, login }
  }
  return { broker, app, unregister, startAuthorization }
}

t.test('no redirect to a URI that was unregistered meanwhile', async (t) => {
  const { broker, unregister, startAuthorization } = await setUp(t)
  const [removed, other] = [await startAuthorization(REMOVED), await startAuthorization(RETURN)]
  await unregister()
  const page = await allow(removed.visitor, removed.login, 'amelie', 'https://')
  t.equal(page.status, 400)
  t.match(page.body, 'has removed the address that you would return to')
  t.equal(broker.standIn.calls.token, 0, 'the code was not redeemed')
  const back = await allow(other.visitor, other.login, 'amelie', 'https://')
  t.match(back.url, `${RETURN}?code=`)
})

for (const deliver of ['code', 'fragment'] as const) {
  t.test(
    `no redirect to a URI that was unregistered while Ellipsis Drive answers (${deliver})`,
    async (t) => {
      const { broker, unregister, startAuthorization } = await setUp(t, { deliver })
      const { store } = broker.services
      const { saveConnection } = store
      store.saveConnection = async (...given) => {
        const saved = await saveConnection(...given)
        await unregister()
        return saved
      }
      const { visitor, login } = await startAuthorization(REMOVED)
      const page = await allow(visitor, login, 'amelie', 'https://')
      t.equal(page.status, 400)
      t.match(page.body, 'has removed the address that you would return to')
      t.equal(
        (await store.listEvents({ limit: 9 })).rows.filter(isConnected).length,
        1,
        'the connection is kept',
      )
    },
  )
}

t.test('a code that was sent to an unregistered URI is invalid', async (t) => {
  const { broker, app, unregister } = await setUp(t)
  const { returned, verifier } = await authorize(broker, app, {
    parameters: { redirect_uri: REMOVED },
  })
  await unregister()
  const form = {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: REMOVED,
    code_verifier: verifier,
  }
  const answer = await postForm(`${broker.url}/oauth/token`, form)
  t.match(answer, { status: 400, body: { error: 'invalid_grant', error_description: 'no longer' } })
})

const isConnected = ({ action }: { action: string }): boolean => action === 'connection.connected'
