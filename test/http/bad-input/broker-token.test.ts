import t from 'tap'
import { connect, exchange, postForm } from '../../helper.ts'
import { createHash } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { JWTPayload } from 'jose'
import { setUpBadInput } from './setup.ts'

/** The same bytes, with other unused bits in the last character. */
const respell = (signature: string): string =>
  signature.slice(0, -1) + String.fromCharCode(signature.charCodeAt(signature.length - 1) + 1)

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

t.test('forged, foreign and expired broker tokens', async (t) => {
  const {
    broker,
    services,
    url,
    clock,
    app,
    otherApp,
    confidentialApp,
    clientSecret,
    connection,
    hasChanged,
  } = await setUpBadInput(t)
  const { kid, key } = await services.keys.current('EdDSA')
  const { privateKey: foreignKey } = await generateKeyPair('EdDSA')
  const { privateKey: attackerKey, publicKey: attackerPublicKey } = await generateKeyPair('EdDSA', {
    extractable: true,
  })
  const [published] = ((await (await fetch(`${url}/.well-known/jwks.json`)).json()) as Jwks).keys
  const seconds = () => Math.floor(clock.now() / 1000)
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  type Forgery = { header?: object; claims?: JWTPayload; key?: CryptoKey | Uint8Array }
  const forge = ({ header = {}, claims = {}, key: signer = key }: Forgery = {}) =>
    new SignJWT({ ...connection.claims, ...claims })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid, ...header })
      .sign(signer)
  const [head, payload, signature] = connection.brokerToken.split('.') as [string, string, string]
  const publicJwkBytes = Buffer.from(JSON.stringify(published))
  const publicKeyBytes = Buffer.from(String(published?.x), 'base64url')
  const signWithHmac = (secret: Uint8Array) =>
    forge({
      header: { alg: 'HS256' },
      key: new Uint8Array(Buffer.concat([secret, Buffer.alloc(32)])),
    })

  await t.test('a token forged without changes is accepted (checks the helper)', async (t) => {
    t.equal((await exchange(broker, await forge())).status, 200)
  })
  const tokens: Record<string, string> = {
    'alg none': `${encode({ alg: 'none', typ: 'at+jwt', kid })}.${payload}.`,
    'alg None': `${encode({ alg: 'None', typ: 'at+jwt', kid })}.${payload}.`,
    'alg none with the old signature': `${encode({ alg: 'none', kid })}.${payload}.${signature}`,
    'HS256 keyed with the public key’s JWK': await signWithHmac(publicJwkBytes),
    'HS256 keyed with the public key’s bytes': await signWithHmac(publicKeyBytes),
    'the signature in another spelling': `${head}.${payload}.${respell(signature)}`,
    'the signature with padding': `${head}.${payload}.${signature}==`,
    'unknown kid': await forge({ header: { kid: 'unknown' }, key: foreignKey }),
    'known kid, foreign key': await forge({ key: foreignKey }),
    'no kid': await forge({ header: { kid: undefined } }),
    'kid as path': await forge({ header: { kid: '../../../../dev/null' }, key: foreignKey }),
    'kid as SQL': await forge({ header: { kid: `' union select '${kid}` }, key: foreignKey }),
    'kid as number': await forge({ header: { kid: 7 } }),
    'the attacker’s key in jwk': await forge({
      header: { jwk: await exportJWK(attackerPublicKey), kid: undefined },
      key: attackerKey,
    }),
    'the attacker’s key in jku': await forge({
      header: { jku: 'https://evil.example/jwks.json', kid: 'evil' },
      key: attackerKey,
    }),
    'an unknown critical extension': await forge().then(
      () =>
        `${encode({ alg: 'EdDSA', typ: 'at+jwt', kid, crit: ['x'], x: 1 })}.${payload}.${signature}`,
    ),
    'typ JWT': await forge({ header: { typ: 'JWT' } }),
    'no typ': await forge({ header: { typ: undefined } }),
    'wrong iss': await forge({ claims: { iss: 'https://evil.example' } }),
    'no iss': await forge({ claims: { iss: undefined } as never }),
    'wrong aud': await forge({ claims: { aud: 'https://evil.example' } }),
    'wrong client_id': await forge({ claims: { client_id: otherApp.id } }),
    'client_id as array': await forge({ claims: { client_id: [app.id] } }),
    'wrong sub': await forge({ claims: { sub: 'con_unknown' } }),
    'wrong grant': await forge({ claims: { grant_id: 'gra_unknown' } }),
    'grant_id as number': await forge({ claims: { grant_id: 7 } }),
    'unknown jti': await forge({ claims: { jti: 'unknown' } }),
    expired: await forge({ claims: { exp: seconds() - 1 } }),
    'no exp': await forge({ claims: { exp: undefined } as never }),
    'not yet valid': await forge({ claims: { nbf: seconds() + 3600 } }),
    'changed claims': `${head}.${encode({ ...connection.claims, client_id: otherApp.id })}.${signature}`,
    'truncated signature': `${head}.${payload}.${signature.slice(0, -2)}`,
    'no signature': `${head}.${payload}.`,
    'four parts': `${connection.brokerToken}.x`,
    'JWE form': `${head}.x.x.x.x`,
    'header is not JSON': `${Buffer.from('{').toString('base64url')}.${payload}.${signature}`,
    'too long': `${connection.brokerToken}${'A'.repeat(5000)}`,
    'empty claims': await forge({ claims: { sub: undefined, jti: undefined } as never }),
    'a hash': createHash('sha256').update('x').digest('hex'),
  }
  for (const [title, token] of Object.entries(tokens)) {
    await t.test(title, async (t) => {
      hasChanged()
      const exchanged = await exchange(broker, token)
      t.match(exchanged, { status: 401, body: { error: 'invalid_token' } })
      t.match(exchanged.headers.get('www-authenticate'), 'error="invalid_token"')
      const form = { subject_token: token, subject_token_type: JWT, grant_type: TOKEN_EXCHANGE }
      const swapped = await postForm(`${url}/oauth/token`, form)
      t.match(swapped, { status: 400, body: { error: 'invalid_request' } })
      const renewed = await postForm(`${url}/oauth/token`, { ...form, requested_token_type: JWT })
      t.match(renewed, { status: 400, body: { error: 'invalid_request' } })
      const refreshed = { grant_type: 'refresh_token', refresh_token: token }
      t.match(await postForm(`${url}/oauth/token`, refreshed), {
        status: 400,
        body: { error: 'invalid_grant' },
      })
      for (const answer of [exchanged.body, swapped.body, renewed.body]) {
        t.notOk(JSON.stringify(answer).includes(token))
      }
      t.notOk(hasChanged())
    })
  }
  await t.test('revoking with a forged token changes nothing', async (t) => {
    hasChanged()
    // Expired and superseded tokens with a valid signature can be revoked.
    const revocable = new Set(['expired', 'unknown jti'])
    const forged = Object.entries(tokens).filter(([title]) => !revocable.has(title))
    for (const [, token] of forged) {
      t.equal((await postForm(`${url}/oauth/revoke`, { token })).status, 200)
    }
    t.notOk(hasChanged())
    t.equal((await exchange(broker, connection.brokerToken)).status, 200)
  })
  await t.test('another app’s token', async (t) => {
    hasChanged()
    const form = { subject_token: connection.brokerToken, subject_token_type: JWT }
    const swapForm = { grant_type: TOKEN_EXCHANGE, client_id: otherApp.id, ...form }
    const swapped = await postForm(`${url}/oauth/token`, swapForm)
    t.match(swapped, { status: 401, body: { error: 'invalid_client' } })
    const credentials = {
      client_id: confidentialApp.id,
      client_secret: clientSecret?.reveal() ?? '',
    }
    const authenticated = await postForm(`${url}/oauth/token`, { ...swapForm, ...credentials })
    t.match(authenticated, { status: 401, body: { error: 'invalid_client' } })
    const revoked = { token: connection.brokerToken, client_id: otherApp.id }
    t.equal((await postForm(`${url}/oauth/revoke`, revoked)).status, 401)
    t.notOk(hasChanged())
  })
  await t.test('Ellipsis Drive’s own access token', async (t) => {
    const { body } = await exchange(broker, connection.brokerToken)
    t.equal((await exchange(broker, String(body.access_token))).status, 401)
  })
  await t.test('use of a superseded token after the grace period revokes the grant', async (t) => {
    const copied = await connect(broker, app)
    const form = { subject_token: copied.brokerToken, subject_token_type: JWT }
    const renew = { grant_type: TOKEN_EXCHANGE, requested_token_type: JWT, ...form }
    const { body } = await postForm(`${url}/oauth/token`, renew)
    const next = String(body.access_token)
    t.equal(
      (await exchange(broker, copied.brokerToken)).status,
      200,
      'works until the new one is used',
    )
    t.equal((await exchange(broker, next)).status, 200)
    t.equal((await exchange(broker, copied.brokerToken)).status, 200, 'works five minutes more')
    t.equal((await postForm(`${url}/oauth/token`, renew)).status, 400, 'but cannot be renewed')
    clock.advance(301_000)
    t.equal((await exchange(broker, copied.brokerToken)).status, 401)
    t.equal((await exchange(broker, next)).status, 401)
  })
})

interface Jwks {
  keys: Record<string, string>[]
}
