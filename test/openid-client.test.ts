import * as oauth from 'openid-client'
import t from 'tap'
import { addApp, allow, buildBroker } from './helper.ts'
import { Visitor } from './visitor.ts'

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
    { algorithm: 'oauth2', execute: [oauth.allowInsecureRequests] },
  )
  t.equal(config.serverMetadata().issuer, broker.url)

  const pkceCodeVerifier = oauth.randomPKCECodeVerifier()
  const expectedState = oauth.randomState()
  const address = oauth.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: 'projects',
    state: expectedState,
    code_challenge: await oauth.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  })
  const visitor = new Visitor()
  const asked = await visitor.open(address.href)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'bo', redirectUri)

  const checks = { pkceCodeVerifier, expectedState }
  const granted = await oauth.authorizationCodeGrant(config, new URL(page.url), checks)
  t.equal(granted.token_type, 'bearer')
  t.equal(granted.expires_in, 30 * 86_400)
  const brokerToken = granted.access_token

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

t.test('an app served with Ellipsis tokens needs nothing but RFC 6749', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await broker.services.apps.add(
    {
      name: 'Server',
      redirectUris: ['https://server.example.com/return'],
      confidential: true,
      trusted: false,
      tokenLifetimeSeconds: 86_400,
      deliver: 'code',
      tokens: 'ellipsis',
      device: false,
      dpop: 'optional',
    },
    'test',
  )
  const config = await oauth.discovery(
    new URL(broker.url),
    app.id,
    undefined,
    oauth.ClientSecretBasic(clientSecret?.reveal() ?? ''),
    { algorithm: 'oauth2', execute: [oauth.allowInsecureRequests] },
  )
  const pkceCodeVerifier = oauth.randomPKCECodeVerifier()
  const address = oauth.buildAuthorizationUrl(config, {
    redirect_uri: 'https://server.example.com/return',
    code_challenge: await oauth.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  })
  const visitor = new Visitor()
  const asked = await visitor.open(address.href)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie', 'https://server.example.com/return')
  const granted = await oauth.authorizationCodeGrant(config, new URL(page.url), {
    pkceCodeVerifier,
  })
  t.ok(broker.standIn.issued().includes(granted.access_token))
  const refreshed = await oauth.refreshTokenGrant(config, granted.refresh_token ?? '')
  t.equal(refreshed.access_token, granted.access_token, 'it still lives')
  broker.clock.advance(3_590_000)
  const later = await oauth.refreshTokenGrant(config, refreshed.refresh_token ?? '')
  t.not(later.access_token, granted.access_token)
})
