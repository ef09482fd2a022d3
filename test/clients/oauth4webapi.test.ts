import * as oauth from 'oauth4webapi'
import t from 'tap'
import { allowDevice } from '../oauth/device/begin.ts'
import { addAppWithSecret, buildBroker } from '../helper.ts'

for (const { method, confidential } of [
  { method: oauth.None, confidential: false },
  { method: oauth.ClientSecretBasic, confidential: true },
  { method: oauth.ClientSecretPost, confidential: true },
]) {
  t.test(`oauth4webapi, ${method.name}: device, introspection, revocation`, async (t) => {
    const broker = await buildBroker(t)
    const settings = { confidential, device: true, redirectUris: [] }
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
