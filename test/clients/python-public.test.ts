/** Python libraries (Authlib, oauthlib, requests-oauthlib) as public apps on a user's machine: authorization code with PKCE. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Test } from 'tap'
import { addApp, allow, buildBroker } from '../helper.ts'
import { findGrant } from '../db/rows.ts'
import { Visitor } from '../visitor.ts'
import { codeBlock } from './code-block.ts'
import { runPython, without } from './python.ts'

/** Each posts the user's choice and the authorization URL to USER_AGENT, which answers with the URL of the redirect. */
const LIBRARIES = {
  authlib: `
from authlib.integrations.requests_client import OAuth2Session
session = OAuth2Session(CLIENT_ID, scope=' '.join(SCOPE), redirect_uri=RETURN,
    code_challenge_method='S256', token_endpoint_auth_method='none',
    revocation_endpoint_auth_method='none')
verifier = 'v' * 43
url, state = session.create_authorization_url(BROKER + '/oauth/authorize', code_verifier=verifier)
answer = redirect_of(url)
token = session.fetch_token(TOKEN, authorization_response=answer, code_verifier=verifier)
print_claims(token)
print('token', token['access_token'], flush=True)
token = session.refresh_token(TOKEN, refresh_token=token['refresh_token'])
print('refreshed', token['access_token'], flush=True)
gone = session.revoke_token(BROKER + '/oauth/revoke', token=token['refresh_token'])
print('revoked', gone.status_code, flush=True)
`,
  oauthlib: `
${codeBlock('python', 'python', 'oauthlib')}
from oauthlib.oauth2 import OAuth2Error
try:
    redeem(redirect_of(begin(), 'Deny'))
except OAuth2Error as error:
    print('refused', error.error, flush=True)
token = redeem(redirect_of(begin()))
print_claims(token)
print('token', token['access_token'], flush=True)
token = refresh(token)
print('refreshed', token['access_token'], flush=True)
url, _, body = client.prepare_token_revocation_request(BROKER + '/oauth/revoke',
    token['refresh_token'], token_type_hint='refresh_token', client_id=CLIENT_ID)
urlopen(url, data=body.encode()).close()
try:
    refresh(token)
except OAuth2Error as error:
    print('revoked', 200 if error.error == 'invalid_grant' else error.error, flush=True)
`,
  requests_oauthlib: `
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient
from requests_oauthlib import OAuth2Session
session = OAuth2Session(CLIENT_ID, scope=SCOPE, redirect_uri=RETURN)
client = WebApplicationClient(CLIENT_ID)
verifier = client.create_code_verifier(43)
challenge = client.create_code_challenge(verifier, 'S256')
def fetch_token(button):
    url, state = session.authorization_url(BROKER + '/oauth/authorize',
        code_challenge=challenge, code_challenge_method='S256')
    return session.fetch_token(TOKEN, authorization_response=redirect_of(url, button),
        code_verifier=verifier, include_client_id=True)
try:
    fetch_token('Deny')
except OAuth2Error as error:
    print('refused', error.error, flush=True)
token = fetch_token(ALLOW)
print_claims(token)
print('token', token['access_token'], flush=True)
token = session.refresh_token(TOKEN, client_id=CLIENT_ID)
print('refreshed', token['access_token'], flush=True)
gone = session.post(BROKER + '/oauth/revoke', withhold_token=True,
    data={'token': token['refresh_token'], 'client_id': CLIENT_ID})
print('revoked', gone.status_code, flush=True)
`,
}

const PREAMBLE = `
import base64
import os
import urllib.request
BROKER, CLIENT_ID, RETURN = (os.environ[name] for name in ('BROKER', 'CLIENT_ID', 'RETURN'))
TOKEN = BROKER + '/oauth/token'
SCOPE = ['openid', 'profile', 'projects']
ALLOW = 'Continue to Ellipsis Drive'
def redirect_of(url, button=ALLOW):
    data = (button + '\\n' + url).encode()
    with urllib.request.urlopen(os.environ['USER_AGENT'], data=data) as answer:
        return answer.read().decode()
def print_claims(token):
    claims = token['id_token'].split('.')[1]
    print('claims', base64.urlsafe_b64decode(claims + '==').decode(), flush=True)
`

for (const [library, source] of Object.entries(LIBRARIES)) {
  t.test(`${library}, public, by code`, { skip: without(library, 'requests') }, async (t) => {
    const broker = await buildBroker(t)
    const redirectUri = 'http://127.0.0.1:8123/return'
    const redirectUris = ['http://127.0.0.1/return']
    const app = await addApp(broker, { tokens: 'ellipsis', redirectUris })
    const env = {
      ...{ BROKER: broker.url, CLIENT_ID: app.id },
      ...{ RETURN: redirectUri, REDIRECT_URI: redirectUri },
    }
    const userAgent = await startUserAgent(t, redirectUri)
    const { code, output } = await runPython(PREAMBLE + source, { ...env, USER_AGENT: userAgent })
    t.equal(code, 0, output)
    // Authlib's bare session does not read errors; its integrations do, see flask.test.ts.
    if (library !== 'authlib') t.match(output, 'refused access_denied')
    const claims = JSON.parse(/^claims (.*)$/m.exec(output)?.[1] ?? '') as unknown
    t.match(claims, { iss: broker.url, aud: app.id, preferred_username: 'amelie' })
    const [, token = '', refreshed = ''] =
      /^token (.*)\nrefreshed (.*)\nrevoked 200$/m.exec(output) ?? []
    for (const got of [token, refreshed]) t.ok(broker.standIn.issued().includes(got), output)
    const grant = await findGrant(broker.services.store, app.id)
    t.type(grant?.revokedAt, 'number')
  })
}

/** Starts a server that acts as the user: presses a button at a posted URL, allows, and answers with the URL of the redirect. */
async function startUserAgent(t: Test, redirectUri: string): Promise<string> {
  const open = async (posted: string) => {
    const [button = '', address = ''] = posted.split('\n')
    const visitor = new Visitor()
    const page = await visitor.open(address)
    const login = await visitor.press(page, button, {}, redirectUri)
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
