/** Python libraries as public apps on a user's machine: authorization code with PKCE. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Test } from 'tap'
import { addApp, allow, buildBroker } from '../helper.ts'
import { findGrant } from '../db/rows.ts'
import { Visitor } from '../visitor.ts'
import { runPython, without } from './python.ts'

/** Each posts the authorization URL to USER_AGENT, which answers with the URL of the redirect. */
const LIBRARIES = {
  authlib: `
from authlib.integrations.requests_client import OAuth2Session
session = OAuth2Session(CLIENT_ID, scope='projects', redirect_uri=RETURN,
    code_challenge_method='S256', token_endpoint_auth_method='none',
    revocation_endpoint_auth_method='none')
verifier = 'v' * 43
url, state = session.create_authorization_url(BROKER + '/oauth/authorize', code_verifier=verifier)
answer = redirect_of(url)
token = session.fetch_token(TOKEN, authorization_response=answer, code_verifier=verifier)
print('token', token['access_token'], flush=True)
token = session.refresh_token(TOKEN, refresh_token=token['refresh_token'])
print('refreshed', token['access_token'], flush=True)
gone = session.revoke_token(BROKER + '/oauth/revoke', token=token['refresh_token'])
print('revoked', gone.status_code, flush=True)
`,
  requests_oauthlib: `
from oauthlib.oauth2 import WebApplicationClient
from requests_oauthlib import OAuth2Session
session = OAuth2Session(CLIENT_ID, scope=['projects'], redirect_uri=RETURN)
client = WebApplicationClient(CLIENT_ID)
verifier = client.create_code_verifier(43)
challenge = client.create_code_challenge(verifier, 'S256')
url, state = session.authorization_url(BROKER + '/oauth/authorize',
    code_challenge=challenge, code_challenge_method='S256')
answer = redirect_of(url)
token = session.fetch_token(TOKEN, authorization_response=answer, code_verifier=verifier,
    include_client_id=True)
print('token', token['access_token'], flush=True)
token = session.refresh_token(TOKEN, client_id=CLIENT_ID)
print('refreshed', token['access_token'], flush=True)
gone = session.post(BROKER + '/oauth/revoke', withhold_token=True,
    data={'token': token['refresh_token'], 'client_id': CLIENT_ID})
print('revoked', gone.status_code, flush=True)
`,
}

const PREAMBLE = `
import os
import urllib.request
BROKER, CLIENT_ID, RETURN = (os.environ[name] for name in ('BROKER', 'CLIENT_ID', 'RETURN'))
TOKEN = BROKER + '/oauth/token'
def redirect_of(url):
    with urllib.request.urlopen(os.environ['USER_AGENT'], data=url.encode()) as answer:
        return answer.read().decode()
`

for (const [library, source] of Object.entries(LIBRARIES)) {
  t.test(`${library}, public, by code`, { skip: without(library, 'requests') }, async (t) => {
    const broker = await buildBroker(t)
    const redirectUri = 'http://127.0.0.1:8123/return'
    const redirectUris = ['http://127.0.0.1/return']
    const app = await addApp(broker, { tokens: 'ellipsis', redirectUris })
    const env = { BROKER: broker.url, CLIENT_ID: app.id, RETURN: redirectUri }
    const userAgent = await startUserAgent(t, redirectUri)
    const { code, output } = await runPython(PREAMBLE + source, { ...env, USER_AGENT: userAgent })
    t.equal(code, 0, output)
    const [, token = '', refreshed = ''] =
      /^token (.*)\nrefreshed (.*)\nrevoked 200$/m.exec(output) ?? []
    for (const got of [token, refreshed]) t.ok(broker.standIn.issued().includes(got), output)
    const grant = await findGrant(broker.services.store, app.id)
    t.type(grant?.revokedAt, 'number')
  })
}

/** Starts a server that acts as the user: opens a posted URL, allows, and answers with the URL of the redirect. */
async function startUserAgent(t: Test, redirectUri: string): Promise<string> {
  const open = async (address: string) => {
    const visitor = new Visitor()
    const login = await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive')
    return (await allow(visitor, login, 'amelie', redirectUri)).url
  }
  const server = createServer((request, response) => {
    void text(request)
      .then(open)
      .then((url) => response.end(url))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}
