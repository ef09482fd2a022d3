import { createHash } from 'node:crypto'
import t from 'tap'
import {
  addApp,
  addAppWithSecret,
  authorize,
  buildBroker,
  connect,
  exchange,
  postForm,
} from '../../helper.ts'
import { allowDevice } from '../device/begin.ts'
import { Visitor } from '../../visitor.ts'
import { signIn, verifyIdToken } from './begin.ts'

t.test('an ID token has the claims of OpenID Connect Core 2', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const before = Math.floor(broker.clock.now() / 1000)
  const { body, claims, accessToken } = await signIn(broker, app, { parameters: { nonce: 'n-1' } })
  t.match(body, { token_type: 'Bearer', scope: 'openid profile projects' })
  const left = createHash('sha256').update(accessToken).digest().subarray(0, 16)
  t.match(claims, {
    iss: broker.url,
    aud: app.id,
    nonce: 'n-1',
    preferred_username: 'amelie',
    at_hash: left.toString('base64url'),
    sub: /^acc_[A-Za-z0-9_-]{22}$/,
  })
  t.equal(claims?.exp, (claims?.iat ?? 0) + 3600)
  t.ok(Number(claims?.auth_time) >= before && Number(claims?.auth_time) <= (claims?.iat ?? 0))
  t.equal((await exchange(broker, accessToken)).status, 200, 'the broker token works as before')

  const { claims: bare } = await signIn(broker, app, { parameters: { scope: 'openid' } })
  t.notOk(bare && 'nonce' in bare)
  t.notOk(bare && 'preferred_username' in bare, 'the name needs the scope profile')
  const { body: plain } = await signIn(broker, app, { parameters: { scope: 'projects' } })
  t.notOk('id_token' in plain)
})

t.test('scopes: unknown ones are ignored with openid, and refused without', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const granted: [string, string][] = [
    ['openid email profile offline_access', 'openid profile'],
    ['projects openid', 'openid projects'],
    ['openid whatever', 'openid'],
    ['projects email', 'projects'],
    ['', 'projects'],
  ]
  for (const [scope, expected] of granted) {
    const { body } = await signIn(broker, app, { parameters: { scope } })
    t.equal(body.scope, expected, scope)
  }
  for (const scope of ['whatever', 'projects whatever', 'email', 'Projects']) {
    const query = new URLSearchParams({
      ...{ response_type: 'code', client_id: app.id, scope, state: 's' },
      ...{ code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' },
    })
    const url = `${broker.url}/oauth/authorize?${query.toString()}`
    const { headers } = await fetch(url, { redirect: 'manual' })
    const location = new URL(headers.get('location') ?? '')
    t.equal(location.searchParams.get('error'), 'invalid_scope', scope)
  }
})

t.test(
  'without the scope projects, a token says who the user is, and cannot be swapped',
  async (t) => {
    const broker = await buildBroker(t)
    for (const tokens of ['broker', 'ellipsis'] as const) {
      const app = await addApp(broker, { tokens })
      const { page } = await openConsent(app.id)
      t.match(page.body, 'asks who you are at Ellipsis Drive')
      t.match(page.body, 'cannot view, add, change or delete your maps')
      const { body, claims, accessToken } = await signIn(broker, app, {
        parameters: { scope: 'openid profile' },
      })
      t.equal(claims?.preferred_username, 'amelie')
      t.notOk('refresh_token' in body)
      t.notOk(broker.standIn.issued().includes(accessToken))
      t.match(await exchange(broker, accessToken), {
        status: 403,
        body: { error: 'insufficient_scope' },
      })
      const swaps: Record<string, string>[] = [
        { grant_type: 'refresh_token', refresh_token: accessToken, client_id: app.id },
        {
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: accessToken,
          subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        },
      ]
      for (const form of swaps) {
        const { status, body } = await postForm(`${broker.url}/oauth/token`, form)
        t.equal(status, 400)
        t.match(body.error, /^invalid_scope$/)
      }
    }

    function openConsent(clientId: string) {
      const query = `client_id=${clientId}&response_type=code&scope=openid&code_challenge_method=S256`
      const url = `${broker.url}/oauth/authorize?${query}&code_challenge=${'x'.repeat(43)}`
      return new Visitor().open(url).then((page) => ({ page }))
    }
  },
)

t.test(
  'the subject is that of the account: across apps, connections and brokers’ restarts',
  async (t) => {
    const broker = await buildBroker(t)
    const [one, two] = [await addApp(broker), await addApp(broker)]
    const first = await signIn(broker, one)
    const second = await signIn(broker, two)
    t.equal(second.claims?.sub, first.claims?.sub, 'at another app')
    const bo = await signIn(broker, one, { user: 'bo' })
    t.not(bo.claims?.sub, first.claims?.sub, 'of another account')
    const payload = first.accessToken.split('.')[1] ?? ''
    const token = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, string>
    t.equal(token.account_sub, first.claims?.sub, 'the broker token names it too')
    t.match(token.sub, /^con_/, 'its own subject is the connection')

    await broker.services.connections.revoke(token.sub ?? '', 'test')
    const again = await signIn(broker, one)
    t.equal(again.claims?.sub, first.claims?.sub, 'after revocation, on a new connection')

    const other = await buildBroker(t)
    const elsewhere = await signIn(other, await addApp(other))
    t.not(elsewhere.claims?.sub, first.claims?.sub, 'another broker has another key')
  },
)

t.test(
  'where Ellipsis Drive tells no account id, the subject is that of the connection',
  async (t) => {
    const broker = await buildBroker(t, { switches: { refuseAccount: true } })
    const { claims } = await signIn(broker, await addApp(broker))
    t.match(claims?.sub, /^acc_/)
    t.notOk(claims && 'preferred_username' in claims)
  },
)

t.test('a confidential app needs a challenge, or openid with a nonce', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const secret = clientSecret?.reveal()
  const noChallenge = { code_challenge: '', code_challenge_method: '' }
  const byNonce = await signIn(broker, app, { secret, parameters: { ...noChallenge, nonce: 'n' } })
  t.equal(byNonce.claims?.nonce, 'n')

  const parameters = { ...noChallenge, nonce: 'n', scope: 'openid' }
  const { returned } = await authorize(broker, app, { parameters })
  const { body } = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'authorization_code', client_id: app.id, client_secret: secret ?? '' },
    code: returned.searchParams.get('code') ?? '',
    code_verifier: 'v'.repeat(43),
  })
  t.equal(body.error, 'invalid_grant', 'a verifier without a challenge (RFC 9700 4.8.2)')

  const withChallenge = await authorize(broker, app, {
    parameters: { nonce: 'n', scope: 'openid' },
  })
  const { body: downgraded } = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'authorization_code', client_id: app.id, client_secret: secret ?? '' },
    code: withChallenge.returned.searchParams.get('code') ?? '',
  })
  t.equal(downgraded.error, 'invalid_grant', 'a challenge without a verifier')

  const open = await addApp(broker)
  const refused: [string, Record<string, string>][] = [
    [app.id, { ...noChallenge, scope: 'openid' }],
    [app.id, { ...noChallenge, scope: 'projects', nonce: 'n' }],
    [open.id, { ...noChallenge, scope: 'openid', nonce: 'n' }],
  ]
  for (const [client_id, more] of refused) {
    const query = new URLSearchParams({ response_type: 'code', client_id, ...more }).toString()
    const { headers } = await fetch(`${broker.url}/oauth/authorize?${query}`, {
      redirect: 'manual',
    })
    const location = new URL(headers.get('location') ?? '')
    t.equal(location.searchParams.get('error'), 'invalid_request')
  }
})

t.test('a device gets an ID token too', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { device: true })
  const { body: started } = await postForm(`${broker.url}/oauth/device_authorization`, {
    client_id: app.id,
    scope: 'openid profile',
  })
  await allowDevice(broker, String(started.user_code))
  const { body } = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    ...{ client_id: app.id, device_code: String(started.device_code) },
  })
  t.equal(body.scope, 'openid profile')
  const claims = await verifyIdToken(broker, app, String(body.id_token))
  t.equal(claims.preferred_username, 'amelie')
  t.notOk('auth_time' in claims)
})

t.test(
  'the key of ID tokens rotates like the others, and cannot sign a broker token',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const { keys } = broker.services
    const of = async (alg: string) => (await keys.list()).filter((key) => key.alg === alg)
    t.equal((await of('RS256')).length, 0, 'none before it is needed')
    const { body } = await signIn(broker, app)
    t.equal((await of('RS256')).length, 2)
    const [before] = (await of('RS256')).filter(({ status }) => status === 'active')

    const rotated = await keys.rotate('test')
    t.strictSame(new Set(rotated.map(({ alg }) => alg)), new Set(['EdDSA', 'RS256']))
    const active = (await of('RS256')).find(({ status }) => status === 'active')
    t.not(active?.kid, before?.kid)
    await t.resolves(verifyIdToken(broker, app, String(body.id_token)), 'the former key verifies')
    await keys.revoke(before?.kid ?? '', 'test')
    await t.rejects(verifyIdToken(broker, app, String(body.id_token)))
    t.equal((await exchange(broker, String(body.id_token))).status, 401, 'no broker token')
    const { brokerToken } = await connect(broker, app)
    t.equal((await exchange(broker, brokerToken)).status, 200)
  },
)

t.test(
  'a key of ID tokens rotates by itself, and goes when its last token has expired',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const { keys } = broker.services
    await signIn(broker, app)
    const status = async () =>
      (await keys.list()).filter(({ alg }) => alg === 'RS256').map(({ status }) => status)
    broker.clock.advance(90 * 86_400_000)
    await keys.maintain()
    t.same((await status()).sort(), ['active', 'next'])
  },
)
