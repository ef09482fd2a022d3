import * as oauth from 'openid-client'
import { exportJWK, generateKeyPair } from 'jose'
import t from 'tap'
import type { App } from '../../db/store.ts'
import { appDefaults } from '../../server/oauth/app-settings.ts'
import { allowDevice } from '../oauth/device/begin.ts'
import { addApp, addAppWithSecret, allow, buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

const JWT = 'urn:ietf:params:oauth:token-type:jwt'
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

t.test('openid-client drives all of it as the app', async (t) => {
  const broker = await buildBroker(t)
  const redirectUri = 'http://127.0.0.1:8123/return'
  const app = await addApp(broker, { redirectUris: ['http://127.0.0.1/return'] })

  const config = await oauth.discovery(
    new URL(broker.url),
    app.id,
    undefined,
    oauth.None(),
    // The broker under test is on loopback, without TLS.
    { execute: [oauth.allowInsecureRequests] },
  )
  t.equal(config.serverMetadata().issuer, broker.url)

  const pkceCodeVerifier = oauth.randomPKCECodeVerifier()
  const expectedState = oauth.randomState()
  const address = oauth.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: 'openid profile projects',
    state: expectedState,
    code_challenge: await oauth.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  })
  const visitor = new Visitor()
  const consent = await visitor.open(address.href)
  const login = await visitor.press(consent, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'bo', redirectUri)

  const checks = { pkceCodeVerifier, expectedState }
  const granted = await oauth.authorizationCodeGrant(config, new URL(page.url), checks)
  t.equal(granted.token_type, 'bearer')
  t.equal(granted.expires_in, 30 * 86_400)
  t.match(granted.claims(), { sub: /^acc_/, preferred_username: 'bo', aud: app.id })
  const brokerToken = granted.access_token
  const { sub = '' } = granted.claims() ?? {}
  t.match(await oauth.fetchUserInfo(config, brokerToken, sub), { preferred_username: 'bo' })

  const exchange = (more: Record<string, string> = {}) =>
    oauth.genericGrantRequest(config, TOKEN_EXCHANGE, {
      subject_token: brokerToken,
      subject_token_type: JWT,
      ...more,
    })
  const swapped = await exchange()
  t.ok(broker.standIn.issued().includes(swapped.access_token))

  const renewed = await exchange({ requested_token_type: JWT })
  t.not(renewed.access_token, brokerToken)

  await oauth.tokenRevocation(config, renewed.access_token)
  const refused: unknown = await exchange().catch((error: unknown) => error)
  t.match(refused, { error: 'invalid_request', status: 400 })
})

t.test('an app with --tokens ellipsis needs only RFC 6749', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await broker.services.apps.add(
    {
      ...appDefaults,
      name: 'Server',
      redirectUris: ['https://server.example.com/return'],
      confidential: true,
      tokenLifetimeSeconds: 86_400,
      tokens: 'ellipsis',
    },
    'test',
  )
  const config = await oauth.discovery(
    new URL(broker.url),
    app.id,
    undefined,
    oauth.ClientSecretBasic(clientSecret?.reveal() ?? ''),
    { execute: [oauth.allowInsecureRequests] },
  )
  const pkceCodeVerifier = oauth.randomPKCECodeVerifier()
  const address = oauth.buildAuthorizationUrl(config, {
    redirect_uri: 'https://server.example.com/return',
    code_challenge: await oauth.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  })
  const visitor = new Visitor()
  const consent = await visitor.open(address.href)
  const login = await visitor.press(consent, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie', 'https://server.example.com/return')
  const granted = await oauth.authorizationCodeGrant(config, new URL(page.url), {
    pkceCodeVerifier,
  })
  t.ok(broker.standIn.issued().includes(granted.access_token))
  const refreshed = await oauth.refreshTokenGrant(config, granted.refresh_token ?? '')
  t.equal(refreshed.access_token, granted.access_token, 'it is still valid')
  broker.clock.advance(3_590_000)
  const later = await oauth.refreshTokenGrant(config, refreshed.refresh_token ?? '')
  t.not(later.access_token, granted.access_token)
})

t.test(
  'a confidential app, by Basic and by post: introspection, exchange, revocation',
  async (t) => {
    const broker = await buildBroker(t)
    for (const method of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
      const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
      const config = await discover(broker, app.id, method(clientSecret?.reveal() ?? ''))
      const { access_token: token } = await signIn(config, app)
      t.match(await oauth.tokenIntrospection(config, token), { active: true, client_id: app.id })
      const parameters = { subject_token: token, subject_token_type: JWT }
      const swapped = await oauth.genericGrantRequest(config, TOKEN_EXCHANGE, parameters)
      t.ok(broker.standIn.issued().includes(swapped.access_token))
      await oauth.tokenRevocation(config, token)
      t.match(await oauth.tokenIntrospection(config, token), { active: false })
    }
  },
)

t.test('the device flow, in every way of serving', async (t) => {
  const broker = await buildBroker(t)
  for (const settings of [{}, { confidential: true }, { tokens: 'ellipsis' as const }]) {
    const more = { ...settings, device: true, redirectUris: [] }
    const { app, clientSecret } = await addAppWithSecret(broker, more)
    const secret = clientSecret?.reveal()
    const authentication = secret === undefined ? oauth.None() : oauth.ClientSecretBasic(secret)
    const config = await discover(broker, app.id, authentication)
    const started = await oauth.initiateDeviceAuthorization(config, { scope: 'projects' })
    await allowDevice(broker, started.user_code)
    const granted = await oauth.pollDeviceAuthorizationGrant(config, { ...started, interval: 0.1 })
    const isOwn = broker.standIn.issued().includes(granted.access_token)
    t.equal(isOwn, app.tokens === 'ellipsis')
  }
})

t.test('DPoP, with its nonces: code, exchange, refresh and device', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { dpop: 'required', device: true })
  const config = await discover(broker, app.id, oauth.None())
  const DPoP = oauth.getDPoPHandle(config, await oauth.randomDPoPKeyPair())
  const granted = await signIn(config, app, { DPoP })
  t.equal(granted.token_type, 'dpop')
  const parameters = { subject_token: granted.access_token, subject_token_type: JWT }
  const swap = (options?: object) =>
    oauth.genericGrantRequest(config, TOKEN_EXCHANGE, parameters, options)
  t.ok(broker.standIn.issued().includes((await swap({ DPoP })).access_token))
  t.match(await swap().catch((error: unknown) => error), { error: 'invalid_request' })

  const swapped = await oauth.fetchProtectedResource(
    config,
    granted.access_token,
    new URL(`${broker.url}/exchange`),
    'POST',
    undefined,
    undefined,
    { DPoP },
  )
  t.equal(swapped.status, 200)

  const started = await oauth.initiateDeviceAuthorization(config, {})
  await allowDevice(broker, started.user_code)
  const fast = { ...started, interval: 0.1 }
  const polled = await oauth.pollDeviceAuthorizationGrant(config, fast, undefined, { DPoP })
  t.equal(polled.token_type, 'dpop')
})

/** The broker under test is on loopback, without TLS. */
const discover = (broker: TestBroker, clientId: string, authentication: oauth.ClientAuth) =>
  oauth.discovery(new URL(broker.url), clientId, undefined, authentication, {
    execute: [oauth.allowInsecureRequests],
  })

/** Authorizes with the library, as a user who allows. */
async function signIn(
  config: oauth.Configuration,
  app: App,
  options: { DPoP?: oauth.DPoPHandle } = {},
) {
  const pkceCodeVerifier = oauth.randomPKCECodeVerifier()
  const redirectUri = app.redirectUris[0] ?? ''
  const address = oauth.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    code_challenge: await oauth.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...(options.DPoP && { dpop_jkt: await options.DPoP.calculateThumbprint() }),
  })
  const visitor = new Visitor()
  const login = await visitor.press(await visitor.open(address.href), 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie', redirectUri)
  const checks = { pkceCodeVerifier }
  return oauth.authorizationCodeGrant(config, new URL(page.url), checks, undefined, options)
}

t.test('openid-client pushes its requests, and authenticates with a key', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] })
  const broker = await buildBroker(t)
  const redirectUri = 'https://server.example.com/return'
  const app = await addApp(broker, {
    ...{ redirectUris: [redirectUri], confidential: true, jwks, par: 'required' as const },
  })
  const authentication = oauth.PrivateKeyJwt({ key: privateKey, kid: 'one' })
  const config = await discover(broker, app.id, authentication)
  const pkceCodeVerifier = oauth.randomPKCECodeVerifier()
  const address = await oauth.buildAuthorizationUrlWithPAR(config, {
    redirect_uri: redirectUri,
    scope: 'openid projects',
    code_challenge: await oauth.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    login_hint: 'amelie',
    strict_account: 'true',
  })
  t.same([...address.searchParams.keys()].sort(), ['client_id', 'request_uri'])
  const visitor = new Visitor()
  const asked = await visitor.open(address.href)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie', redirectUri)
  const checks = { pkceCodeVerifier, idTokenExpected: true }
  const granted = await oauth.authorizationCodeGrant(config, new URL(page.url), checks)
  const exchanged = await oauth.genericGrantRequest(config, TOKEN_EXCHANGE, {
    subject_token: granted.access_token,
    subject_token_type: JWT,
  })
  t.ok(broker.standIn.issued().includes(exchanged.access_token))
  t.match(await oauth.tokenIntrospection(config, granted.access_token), { active: true })

  const foreign = await generateKeyPair('ES256')
  const stranger = oauth.PrivateKeyJwt({ key: foreign.privateKey, kid: 'one' })
  const refused = oauth.tokenIntrospection(
    await discover(broker, app.id, stranger),
    granted.access_token,
  )
  await t.rejects(refused, oauth.WWWAuthenticateChallengeError)
})
