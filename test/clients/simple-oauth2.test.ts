import { createRequire } from 'node:module'
import t from 'tap'
import { sha256 } from '../../server/crypto/hash.ts'
import { addAppWithSecret, allow, buildBroker, RETURN } from '../helper.ts'
import { Visitor } from '../visitor.ts'

/** The library has no types. */
const { AuthorizationCode } = createRequire(import.meta.url)('simple-oauth2') as {
  AuthorizationCode: new (options: object) => Library
}
interface Library {
  authorizeURL(parameters: Record<string, string>): string
  getToken(parameters: Record<string, string>): Promise<Token>
}
interface Token {
  token: Record<string, string>
  expired(): boolean
  refresh(): Promise<Token>
  revoke(type: string): Promise<void>
}

for (const authorizationMethod of ['header', 'body']) {
  t.test(`simple-oauth2, client in the ${authorizationMethod}`, async (t) => {
    const broker = await buildBroker(t)
    const settings = { confidential: true, tokens: 'ellipsis' as const }
    const { app, clientSecret } = await addAppWithSecret(broker, settings)
    const library = new AuthorizationCode({
      client: { id: app.id, secret: clientSecret?.reveal() ?? '' },
      auth: {
        ...{ tokenHost: broker.url, tokenPath: '/oauth/token', revokePath: '/oauth/revoke' },
        authorizePath: '/oauth/authorize',
      },
      options: { authorizationMethod },
    })
    const verifier = 'v'.repeat(43)
    const address = library.authorizeURL({
      ...{ redirect_uri: RETURN, scope: 'projects', state: 'abc' },
      ...{ code_challenge: sha256(verifier), code_challenge_method: 'S256' },
    })
    const visitor = new Visitor()
    const login = await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive')
    const page = await allow(visitor, login, 'amelie', RETURN)
    const code = new URL(page.url).searchParams.get('code') ?? ''
    const token = await library.getToken({ code, redirect_uri: RETURN, code_verifier: verifier })
    t.ok(broker.standIn.issued().includes(token.token.access_token ?? ''))
    broker.clock.advance(3_590_000)
    const refreshed = await token.refresh()
    t.not(refreshed.token.access_token, token.token.access_token)
    t.ok(broker.standIn.issued().includes(refreshed.token.access_token ?? ''))
    await refreshed.revoke('refresh_token')
    await t.rejects(refreshed.refresh())
  })
}
