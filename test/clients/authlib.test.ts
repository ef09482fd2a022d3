import { exportJWK, exportPKCS8, generateKeyPair } from 'jose'
import t from 'tap'
import { addAppWithSecret, allow, buildBroker, RETURN } from '../helper.ts'
import { Visitor } from '../visitor.ts'
import { runPython, without } from './python.ts'

/** Authorizes, redeems, refreshes, introspects and revokes. Prints the authorization URL, and reads the URL of the redirect from a file. */
const SOURCE = `
import os, sys
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
env = os.environ
session = OAuth2Session(env['CLIENT_ID'], env['CLIENT_SECRET'], scope='projects',
    redirect_uri=env['RETURN'], code_challenge_method='S256',
    token_endpoint_auth_method=env['METHOD'], revocation_endpoint_auth_method=env['METHOD'])
# The audience is the issuer.
session.register_client_auth_method(PrivateKeyJWT(env['BROKER'], alg=env['ALG']))
verifier = 'v' * 43
url, state = session.create_authorization_url(env['BROKER'] + '/oauth/authorize', code_verifier=verifier)
print('open', url, flush=True)
token = session.fetch_token(env['BROKER'] + '/oauth/token', authorization_response=env_line(), code_verifier=verifier)
print('token', token['access_token'], flush=True)
token = session.refresh_token(env['BROKER'] + '/oauth/token', refresh_token=token['refresh_token'])
print('refreshed', token['access_token'], flush=True)
seen = session.introspect_token(env['BROKER'] + '/oauth/introspect', token=token['refresh_token'])
print('introspected', seen.json()['active'], flush=True)
gone = session.revoke_token(env['BROKER'] + '/oauth/revoke', token=token['refresh_token'])
print('revoked', gone.status_code, flush=True)
`

/** Authlib reads PEM. */
async function newKey(alg: string) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwks = JSON.stringify({ keys: [await exportJWK(publicKey)] })
  return { jwks, pem: await exportPKCS8(privateKey) }
}

for (const [method, alg] of [
  ['client_secret_basic', ''],
  ['client_secret_post', ''],
  ['private_key_jwt', 'RS256'],
  ['private_key_jwt', 'ES256'],
] as const) {
  t.test(
    `Authlib, with ${method} ${alg}`.trim(),
    { skip: without('authlib', 'requests') },
    async (t) => {
      const broker = await buildBroker(t)
      const key = alg === '' ? null : await newKey(alg)
      const jwks = key?.jwks ?? null
      const settings = { confidential: true, tokens: 'ellipsis' as const, jwks }
      const { app, clientSecret } = await addAppWithSecret(broker, settings)
      const answers = t.testdir({})
      const file = `${answers}/answer`
      const wait = `
import time
def env_line():
    while True:
        try:
            text = open('${file}').read()
            if text.endswith('\\n'): return text.strip()
        except FileNotFoundError: pass
        time.sleep(0.05)
`
      const { writeFileSync } = await import('node:fs')
      const onLine = (line: string): void => {
        const address = /^open (.*)$/.exec(line)?.[1]
        if (address === undefined) return
        void signIn(address).then((returned) => writeFileSync(file, `${returned}\n`))
      }
      const signIn = async (address: string) => {
        const visitor = new Visitor()
        const asked = await visitor.open(address)
        const login = await visitor.press(asked, 'Continue to Ellipsis Drive')
        return (await allow(visitor, login, 'amelie', RETURN)).url
      }
      const { code, output } = await runPython(
        wait + SOURCE,
        {
          ...{ BROKER: broker.url, CLIENT_ID: app.id, RETURN, METHOD: method, ALG: alg },
          CLIENT_SECRET: clientSecret?.reveal() ?? key?.pem ?? '',
        },
        onLine,
      )
      t.equal(code, 0, output)
      t.match(output, /introspected True\nrevoked 200/)
      const token = /^token (.*)$/m.exec(output)?.[1] ?? ''
      t.ok(broker.standIn.issued().includes(token))
    },
  )
}
