import * as oauth from 'oauth4webapi'
import t from 'tap'
import { allowDevice } from '../oauth/device/begin.ts'
import { RETURN, addApp, addAppWithSecret, allow, buildBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

const { publicKey, privateKey } = await oauth.generateKeyPair('Ed25519', { extractable: true })
const jwks = JSON.stringify({ keys: [await crypto.subtle.exportKey('jwk', publicKey)] })

for (const { name, method, ...kind } of [
  { name: 'None', method: oauth.None, confidential: false, jwks: null },
  { name: 'Basic', method: oauth.ClientSecretBasic, confidential: true, jwks: null },
  { name: 'Post', method: oauth.ClientSecretPost, confidential: true, jwks: null },
  {
    name: 'PrivateKeyJwt',
    method: () => oauth.PrivateKeyJwt(privateKey),
    confidential: true,
    jwks,
  },
]) {
  t.test(`oauth4webapi, ${name}: device, introspection, revocation`, async (t) => {
    const broker = await buildBroker(t)
    const { confidential } = kind
    const settings = { ...kind, device: true, redirectUris: [] }
    const { app, clientSecret } = await addAppWithSecret(broker, settings)
    const authentication = method(clientSecret?.reveal() ?? '')
    const client = { client_id: app.id }
    // The broker under test is on loopback, without TLS.
    const local = { [oauth.allowInsecureRequests]: true }
    const issuer = new URL(broker.url)
    const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...local })
    const server = await oauth.processDiscoveryResponse(issuer, found)

    const begun = await oauth.processDeviceAuthorizationResponse(
      server,
      client,
      await oauth.deviceAuthorizationRequest(
        server,
        client,
        authentication,
        new URLSearchParams({ scope: 'projects' }),
        local,
      ),
    )
    const poll = async () => {
      const { device_code: code } = begun
      const answer = oauth.deviceCodeGrantRequest(server, client, authentication, code, local)
      return oauth.processDeviceCodeResponse(server, client, await answer)
    }
    t.match(await poll().catch((error: unknown) => error), { error: 'authorization_pending' })
    await allowDevice(broker, begun.user_code)
    const { access_token: token } = await poll()

    const introspect = async () => {
      const answer = oauth.introspectionRequest(server, client, authentication, token, local)
      return oauth.processIntrospectionResponse(server, client, await answer)
    }
    // Public apps may not ask (RFC 7662 2.1).
    if (confidential) t.match(await introspect(), { active: true })
    else await t.rejects(introspect(), oauth.WWWAuthenticateChallengeError)
    const gone = await oauth.revocationRequest(server, client, authentication, token, local)
    await oauth.processRevocationResponse(gone)
    if (confidential) t.match(await introspect(), { active: false })
    t.match(await poll().catch((error: unknown) => error), { error: 'invalid_grant' })
  })
}

t.test('oauth4webapi: pushed requests, and private_key_jwt for the code', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { confidential: true, jwks, par: 'required' })
  const client = { client_id: app.id }
  const local = { [oauth.allowInsecureRequests]: true }
  const issuer = new URL(broker.url)
  const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...local })
  const server = await oauth.processDiscoveryResponse(issuer, found)
  const authentication = oauth.PrivateKeyJwt(privateKey)
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const parameters = new URLSearchParams({
    ...{ response_type: 'code', redirect_uri: RETURN, state, code_challenge_method: 'S256' },
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    external_id: 'user-7',
  })
  const sent = oauth.pushedAuthorizationRequest(server, client, authentication, parameters, local)
  const pushed = await oauth.processPushedAuthorizationResponse(server, client, await sent)

  const query = new URLSearchParams({ ...client, request_uri: pushed.request_uri }).toString()
  const visitor = new Visitor()
  const asked = await visitor.open(`${server.authorization_endpoint}?${query}`)
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
  const { url } = await allow(visitor, login, 'amelie', RETURN)
  const answer = oauth.validateAuthResponse(server, client, new URL(url), state)
  const code = [server, client, authentication, answer, RETURN, verifier] as const
  const response = await oauth.authorizationCodeGrantRequest(...code, local)
  t.ok((await oauth.processAuthorizationCodeResponse(server, client, response)).access_token)
})
