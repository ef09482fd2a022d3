/** Bad input gets a clear error and changes nothing: a test a line. */
import { createHash } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { JWTPayload } from 'jose'
import t from 'tap'
import type { Test as Tap } from 'tap'
import {
  addApp,
  addAppWithSecret,
  allow,
  authorizationRequest,
  authorize,
  buildBroker,
  connect,
  exchange,
  postForm,
  RETURN,
} from './helper.ts'
import { changes } from './rows.ts'
import { Visitor } from './visitor.ts'

const FORM = 'application/x-www-form-urlencoded'
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

const broker = await buildBroker(t)
const { services, url, clock } = broker
const app = await addApp(broker)
const other = await addApp(broker, { name: 'Other', redirectUris: ['https://other.example.com/'] })
const { app: server, clientSecret } = await addAppWithSecret(broker, { confidential: true })
const held = await connect(broker, app)
const changed = changes(t, broker.dataDir)

/** A line: what is done, and that it left no trace. */
const line = (words: string, work: (t: Tap) => Promise<void>): void => {
  void t.test(words, async (t) => {
    changed()
    await work(t)
    t.notOk(changed(), 'nothing was written')
  })
}

t.test('authorize: what is wrong with app or redirect URI is told on a page alone', async (t) => {
  const { parameters } = authorizationRequest(app)
  const cases: Record<string, Record<string, string>> = {
    'unknown app': { client_id: 'app_unknown' },
    'no app': { client_id: '' },
    'an app’s id as SQL': { client_id: "' or 1=1 --" },
    'wrong redirect URI': { redirect_uri: 'https://evil.example/' },
    'another app’s redirect URI': { redirect_uri: 'https://other.example.com/' },
    'redirect URI in another case': { redirect_uri: 'https://app.example.com/Return' },
    'host in another case': { redirect_uri: 'https://APP.example.com/return' },
    'trailing slash': { redirect_uri: `${RETURN}/` },
    'another port': { redirect_uri: 'https://app.example.com:8443/return' },
    'the default port, named': { redirect_uri: 'https://app.example.com:443/return' },
    encoded: { redirect_uri: 'https://app.example.com/%72eturn' },
    'encoded twice': { redirect_uri: encodeURIComponent(RETURN) },
    'user info': { redirect_uri: 'https://app.example.com@evil.example/return' },
    'user info of its own host': { redirect_uri: 'https://x:y@app.example.com/return' },
    'extra parameter': { redirect_uri: `${RETURN}?next=https://evil.example` },
    fragment: { redirect_uri: `${RETURN}#x` },
    'parent folder': { redirect_uri: `${RETURN}/../return` },
    subdomain: { redirect_uri: 'https://evil.app.example.com/return' },
    'longer host': { redirect_uri: 'https://app.example.com.evil.example/return' },
    http: { redirect_uri: 'http://app.example.com/return' },
    script: { redirect_uri: 'javascript:alert(1)' },
    backslash: { redirect_uri: 'https://app.example.com\\@evil.example/return' },
    'line break': { redirect_uri: `${RETURN}\r\nset-cookie: a=b` },
  }
  for (const [words, wrong] of Object.entries(cases)) {
    await t.test(words, async (t) => {
      changed()
      const query = new URLSearchParams({ ...parameters, ...wrong }).toString()
      for (const path of ['/oauth/authorize', '/connect/app_unknown']) {
        const answer = await fetch(`${url}${path}?${query}`, { redirect: 'manual' })
        t.equal(answer.status, 400)
        t.equal(answer.headers.get('location'), null, 'nothing is sent anywhere')
        t.match(answer.headers.get('content-security-policy'), "frame-ancestors 'none'")
        t.match(await answer.text(), 'That did not work')
      }
      t.notOk(changed())
    })
  }
  for (const name of ['client_id', 'redirect_uri']) {
    await t.test(`${name} twice`, async (t) => {
      const query = new URLSearchParams({ ...parameters, response_type: 'code' })
      query.append(name, parameters[name as 'client_id'])
      const answer = await fetch(`${url}/oauth/authorize?${query.toString()}`, {
        redirect: 'manual',
      })
      t.equal(answer.status, 400)
      t.equal(answer.headers.get('location'), null)
    })
  }
})

t.test('authorize: other faults go back to the app, with state and iss', async (t) => {
  const { parameters } = authorizationRequest(app)
  const cases: [string, Record<string, string>, string][] = [
    ['response type', { response_type: 'token' }, 'unsupported_response_type'],
    ['plain', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['no method', { code_challenge_method: '' }, 'invalid_request'],
    ['challenge of plain’s form', { code_challenge: 'x'.repeat(44) }, 'invalid_request'],
    ['challenge with padding', { code_challenge: `${'x'.repeat(42)}=` }, 'invalid_request'],
    ['no challenge', { code_challenge: '' }, 'invalid_request'],
    ['scope', { scope: 'projects admin' }, 'invalid_scope'],
    ['response mode', { response_mode: 'form_post' }, 'invalid_request'],
  ]
  for (const [words, wrong, error] of cases) {
    await t.test(words, async (t) => {
      changed()
      const query = new URLSearchParams({ ...parameters, ...wrong }).toString()
      const answer = await fetch(`${url}/oauth/authorize?${query}`, { redirect: 'manual' })
      const { searchParams, origin, pathname } = new URL(answer.headers.get('location') ?? '')
      t.equal(origin + pathname, RETURN)
      t.match(Object.fromEntries(searchParams), { error, state: parameters.state, iss: url })
      t.match(searchParams.get('error_description'), /^[\x20-\x7e]{10,}$/)
      t.notOk(changed())
    })
  }
})

/** Takes a visitor up to the address at which Ellipsis Drive would return. */
async function untilCallback(visitor: Visitor): Promise<string> {
  const { parameters } = authorizationRequest(app)
  const query = new URLSearchParams(parameters).toString()
  const asked = await visitor.open(`${url}/oauth/authorize?${query}`)
  const stopAt = `${url}/callback`
  const login = await visitor.press(asked, 'Continue to Ellipsis Drive', {}, stopAt)
  return (await allow(visitor, login, 'amelie', stopAt)).url
}

t.test('callback', async (t) => {
  const visitor = new Visitor()
  const callback = await untilCallback(visitor)
  const foreign = new Visitor()
  const othersCallback = await untilCallback(foreign)
  const refusedAt = async (t: Tap, who: Visitor, address: string) => {
    changed()
    const page = await who.open(address, 'https://')
    t.equal(page.status, 400)
    t.match(page.body, 'That did not work')
    t.notOk(changed(), 'nothing was written')
  }
  const without = (name: string) => {
    const address = new URL(callback)
    address.searchParams.delete(name)
    return address.href
  }
  const state = (value: string) => {
    const address = new URL(callback)
    address.searchParams.set('state', value)
    return address.href
  }
  await t.test('no state', (t) => refusedAt(t, visitor, without('state')))
  await t.test('empty state', (t) => refusedAt(t, visitor, state('')))
  await t.test('unknown state', (t) => refusedAt(t, visitor, state('x'.repeat(43))))
  await t.test('state as SQL', (t) => refusedAt(t, visitor, state("' or ''='")))
  await t.test('state twice', (t) => refusedAt(t, visitor, `${callback}&state=x`))
  await t.test('another browser’s state', (t) => refusedAt(t, visitor, othersCallback))
  await t.test('no cookie', (t) => refusedAt(t, new Visitor(), callback))
  await t.test('another flow’s cookie under the right name', async (t) => {
    const thief = new Visitor()
    const [name = ''] = [...visitor.cookies(url).keys()].filter((key) => key.startsWith('flow-'))
    const stolen = [...foreign.cookies(url)].find(([key]) => key.startsWith('flow-'))?.[1] ?? ''
    changed()
    const headers = { cookie: `${name}=${stolen}` }
    const answer = await fetch(callback, { headers, redirect: 'manual' })
    t.equal(answer.status, 400)
    t.equal((await thief.open(callback)).status, 400)
    t.notOk(changed())
  })
  await t.test('used state', async (t) => {
    const page = await visitor.open(callback, RETURN)
    t.ok(new URL(page.url).searchParams.has('code'))
    await refusedAt(t, visitor, callback)
  })
  await t.test('no code ends the flow, and tells the app', async (t) => {
    const address = new URL(othersCallback)
    address.searchParams.delete('code')
    const page = await foreign.open(address.href, RETURN)
    t.equal(new URL(page.url).searchParams.get('error'), 'server_error')
  })
  for (const [sent, told] of [
    ['access_denied', 'access_denied'],
    ['temporarily_unavailable', 'temporarily_unavailable'],
    ['unauthorized_client', 'server_error'],
  ]) {
    await t.test(`Ellipsis Drive’s own ${sent}`, async (t) => {
      const address = new URL(await untilCallback(visitor))
      address.searchParams.delete('code')
      address.searchParams.set('error', sent ?? '')
      const page = await visitor.open(address.href, RETURN)
      t.equal(new URL(page.url).searchParams.get('error'), told)
    })
  }
  await t.test('an app that was removed meanwhile', async (t) => {
    const brief = await addApp(broker, { name: 'Brief' })
    const { parameters } = authorizationRequest(brief)
    const asked = await visitor.open(
      `${url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
    )
    const stopAt = `${url}/callback`
    const login = await visitor.press(asked, 'Continue to Ellipsis Drive', {}, stopAt)
    const back = await allow(visitor, login, 'amelie', stopAt)
    await services.apps.remove(brief.id, 'test')
    const page = await visitor.open(back.url, 'https://')
    t.equal(page.status, 400)
  })
})

t.test('a code that is redeemed wrongly', async (t) => {
  const { returned, verifier, parameters } = await authorize(broker, app)
  const good = {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  }
  const cases: [string, Record<string, string>, number, string][] = [
    ['wrong verifier', { code_verifier: 'x'.repeat(43) }, 400, 'invalid_grant'],
    ['no verifier', { code_verifier: '' }, 400, 'invalid_request'],
    [
      'the challenge as verifier',
      { code_verifier: parameters.code_challenge },
      400,
      'invalid_grant',
    ],
    ['no code', { code: '' }, 400, 'invalid_request'],
    ['unknown code', { code: 'x'.repeat(43) }, 400, 'invalid_grant'],
    ['code as SQL', { code: "' or 1=1 --" }, 400, 'invalid_grant'],
    ['another redirect URI', { redirect_uri: `${RETURN}/` }, 400, 'invalid_grant'],
    ['another app', { client_id: other.id }, 400, 'invalid_grant'],
    ['an app with a secret, without it', { client_id: server.id }, 401, 'invalid_client'],
    ['unknown app', { client_id: 'app_unknown' }, 401, 'invalid_client'],
    ['no app', { client_id: '' }, 401, 'invalid_client'],
    ['a secret that it doesn’t have', { client_secret: 'x' }, 401, 'invalid_client'],
    ['unknown grant type', { grant_type: 'password' }, 400, 'unsupported_grant_type'],
    ['no grant type', { grant_type: '' }, 400, 'unsupported_grant_type'],
  ]
  for (const [words, wrong, status, error] of cases) {
    await t.test(words, async (t) => {
      changed()
      const answer = await postForm(`${url}/oauth/token`, { ...good, ...wrong })
      t.match(answer, { status, body: { error, error_description: /^.{10,}$/ } })
      t.equal(answer.headers.get('cache-control'), 'no-store')
      t.notOk(changed())
    })
  }
  await t.test('and works after all of that', async (t) => {
    t.equal((await postForm(`${url}/oauth/token`, good)).status, 200)
  })
  await t.test('a copy without the verifier does not end what it began', async (t) => {
    changed()
    const copied = await postForm(`${url}/oauth/token`, { ...good, code_verifier: 'x'.repeat(43) })
    t.match(copied, { status: 400, body: { error: 'invalid_grant' } })
    t.notOk(changed())
  })
})

t.test('forged, foreign and ended broker tokens', async (t) => {
  const { kid, key } = await services.keys.current()
  const { privateKey: foreignKey } = await generateKeyPair('EdDSA')
  const { privateKey: ownKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true })
  const [published] = ((await (await fetch(`${url}/.well-known/jwks.json`)).json()) as Jwks).keys
  const seconds = () => Math.floor(clock.now() / 1000)
  const text = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  type Forging = { header?: object; claims?: JWTPayload; key?: CryptoKey | Uint8Array }
  const forge = ({ header = {}, claims = {}, key: signer = key }: Forging = {}) =>
    new SignJWT({ ...held.claims, ...claims })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid, ...header })
      .sign(signer)
  const [head, payload, signature] = held.brokerToken.split('.') as [string, string, string]
  const publicText = Buffer.from(JSON.stringify(published))
  const rawPublic = Buffer.from(String(published?.x), 'base64url')
  const hmac = (secret: Uint8Array) =>
    forge({
      header: { alg: 'HS256' },
      key: new Uint8Array(Buffer.concat([secret, Buffer.alloc(32)])),
    })

  await t.test('the forger’s own hand is good: an unchanged token is taken', async (t) => {
    t.equal((await exchange(broker, await forge())).status, 200)
  })
  const tokens: Record<string, string> = {
    'alg none': `${text({ alg: 'none', typ: 'at+jwt', kid })}.${payload}.`,
    'alg None': `${text({ alg: 'None', typ: 'at+jwt', kid })}.${payload}.`,
    'alg none with the old signature': `${text({ alg: 'none', kid })}.${payload}.${signature}`,
    'HS256 keyed with the public key’s JWK': await hmac(publicText),
    'HS256 keyed with the public key’s bytes': await hmac(rawPublic),
    'unknown kid': await forge({ header: { kid: 'unknown' }, key: foreignKey }),
    'known kid, foreign key': await forge({ key: foreignKey }),
    'no kid': await forge({ header: { kid: undefined } }),
    'kid as path': await forge({ header: { kid: '../../../../dev/null' }, key: foreignKey }),
    'kid as SQL': await forge({ header: { kid: `' union select '${kid}` }, key: foreignKey }),
    'kid as number': await forge({ header: { kid: 7 } }),
    'its own key in the header': await forge({
      header: { jwk: await exportJWK(publicKey), kid: undefined },
      key: ownKey,
    }),
    'a key from elsewhere': await forge({
      header: { jku: 'https://evil.example/jwks.json', kid: 'evil' },
      key: ownKey,
    }),
    'a critical extension': await forge().then(
      () =>
        `${text({ alg: 'EdDSA', typ: 'at+jwt', kid, crit: ['x'], x: 1 })}.${payload}.${signature}`,
    ),
    'typ JWT': await forge({ header: { typ: 'JWT' } }),
    'no typ': await forge({ header: { typ: undefined } }),
    'wrong iss': await forge({ claims: { iss: 'https://evil.example' } }),
    'no iss': await forge({ claims: { iss: undefined } as never }),
    'wrong aud': await forge({ claims: { aud: 'https://evil.example' } }),
    'wrong client_id': await forge({ claims: { client_id: other.id } }),
    'client_id as list': await forge({ claims: { client_id: [app.id] } }),
    'wrong sub': await forge({ claims: { sub: 'con_unknown' } }),
    'wrong grant': await forge({ claims: { grant_id: 'gra_unknown' } }),
    'grant_id as number': await forge({ claims: { grant_id: 7 } }),
    'unknown jti': await forge({ claims: { jti: 'unknown' } }),
    expired: await forge({ claims: { exp: seconds() - 1 } }),
    'no exp': await forge({ claims: { exp: undefined } as never }),
    'not yet valid': await forge({ claims: { nbf: seconds() + 3600 } }),
    'claims changed': `${head}.${text({ ...held.claims, client_id: other.id })}.${signature}`,
    'signature cut': `${head}.${payload}.${signature.slice(0, -2)}`,
    'no signature': `${head}.${payload}.`,
    'four parts': `${held.brokerToken}.x`,
    'encrypted form': `${head}.x.x.x.x`,
    'no JSON': `${Buffer.from('{').toString('base64url')}.${payload}.${signature}`,
    'too long': `${held.brokerToken}${'A'.repeat(5000)}`,
    'empty claims': await forge({ claims: { sub: undefined, jti: undefined } as never }),
    'a hash': createHash('sha256').update('x').digest('hex'),
  }
  for (const [words, token] of Object.entries(tokens)) {
    await t.test(words, async (t) => {
      changed()
      const there = await exchange(broker, token)
      t.match(there, { status: 401, body: { error: 'invalid_token' } })
      t.match(there.headers.get('www-authenticate'), 'error="invalid_token"')
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
      for (const answer of [there.body, swapped.body, renewed.body]) {
        t.notOk(JSON.stringify(answer).includes(token))
      }
      t.notOk(changed())
    })
  }
  await t.test('none gives up a grant, but what was superseded or has expired', async (t) => {
    changed()
    const good = new Set(['expired', 'unknown jti'])
    const rest = Object.entries(tokens).filter(([words]) => !good.has(words))
    for (const [, token] of rest) {
      t.equal((await postForm(`${url}/oauth/revoke`, { token })).status, 200)
    }
    t.notOk(changed())
    t.equal((await exchange(broker, held.brokerToken)).status, 200)
  })
  await t.test('another app’s token', async (t) => {
    changed()
    const form = { subject_token: held.brokerToken, subject_token_type: JWT }
    const post = { grant_type: TOKEN_EXCHANGE, client_id: other.id, ...form }
    const swapped = await postForm(`${url}/oauth/token`, post)
    t.match(swapped, { status: 401, body: { error: 'invalid_client' } })
    const credentials = { client_id: server.id, client_secret: clientSecret?.reveal() ?? '' }
    const authenticated = await postForm(`${url}/oauth/token`, { ...post, ...credentials })
    t.match(authenticated, { status: 401, body: { error: 'invalid_client' } })
    const revoked = { token: held.brokerToken, client_id: other.id }
    t.equal((await postForm(`${url}/oauth/revoke`, revoked)).status, 401)
    t.notOk(changed())
  })
  await t.test('Ellipsis Drive’s own access token', async (t) => {
    const { body } = await exchange(broker, held.brokerToken)
    t.equal((await exchange(broker, String(body.access_token))).status, 401)
  })
  await t.test('a superseded jti, used too late, ends the grant', async (t) => {
    const copied = await connect(broker, app)
    const form = { subject_token: copied.brokerToken, subject_token_type: JWT }
    const renew = { grant_type: TOKEN_EXCHANGE, requested_token_type: JWT, ...form }
    const { body } = await postForm(`${url}/oauth/token`, renew)
    const next = String(body.access_token)
    t.equal((await exchange(broker, copied.brokerToken)).status, 200, 'until the new one is used')
    t.equal((await exchange(broker, next)).status, 200)
    t.equal((await exchange(broker, copied.brokerToken)).status, 200, 'five minutes more')
    t.equal((await postForm(`${url}/oauth/token`, renew)).status, 400, 'but it renews no more')
    clock.advance(301_000)
    t.equal((await exchange(broker, copied.brokerToken)).status, 401)
    t.equal((await exchange(broker, next)).status, 401)
  })
})
interface Jwks {
  keys: Record<string, string>[]
}

t.test('parameters that are odd', async (t) => {
  const token = { subject_token: held.brokerToken, subject_token_type: JWT }
  const swap = { grant_type: TOKEN_EXCHANGE, ...token }
  const cases: [string, Record<string, string>, string][] = [
    ['min_ttl in words', { min_ttl: 'soon' }, 'invalid_request'],
    ['min_ttl below zero', { min_ttl: '-1' }, 'invalid_request'],
    ['min_ttl too large', { min_ttl: '9'.repeat(10) }, 'invalid_request'],
    ['force in words', { force: '1' }, 'invalid_request'],
    ['subject_token_type', { subject_token_type: 'jwt' }, 'invalid_request'],
    ['no subject_token_type', { subject_token_type: '' }, 'invalid_request'],
    ['no subject_token', { subject_token: '' }, 'invalid_request'],
    ['requested_token_type', { requested_token_type: 'saml' }, 'invalid_request'],
    ['scope', { scope: 'admin' }, 'invalid_scope'],
  ]
  for (const [words, odd, error] of cases) {
    await t.test(words, async (t) => {
      changed()
      const answer = await postForm(`${url}/oauth/token`, { ...swap, ...odd })
      t.match(answer, { status: 400, body: { error } })
      t.notOk(changed())
    })
  }
  for (const name of ['grant_type', 'subject_token', 'client_id', 'min_ttl', 'force']) {
    await t.test(`${name} twice`, async (t) => {
      const form = new URLSearchParams({
        ...swap,
        client_id: app.id,
        min_ttl: '60',
        force: 'false',
      })
      form.append(name, form.get(name) ?? '')
      const answer = await fetch(`${url}/oauth/token`, { method: 'POST', body: form })
      t.equal(answer.status, 400)
      t.match(await answer.json(), { error: 'invalid_request' })
    })
  }
  await t.test('revoke without a token', async (t) => {
    const answer = await postForm(`${url}/oauth/revoke`, {})
    t.match(answer, { status: 400, body: { error: 'invalid_request' } })
  })
  const swapAt = (body: unknown) => exchange(broker, held.brokerToken, body as object)
  for (const body of [
    { min_ttl: '60' },
    { min_ttl: null },
    { min_ttl: 1e10 },
    { force: 1 },
    { force: 'true' },
    [],
    'text',
    7,
  ]) {
    await t.test(`body ${JSON.stringify(body)}`, async (t) => {
      t.match(await swapAt(body), { status: 400, body: { error: 'invalid_request' } })
    })
  }
})

t.test('client authentication that is odd', async (t) => {
  const basic = (words: string) => ({
    authorization: `Basic ${Buffer.from(words).toString('base64')}`,
  })
  const secret = clientSecret?.reveal() ?? ''
  const swap = (form: Record<string, string>, headers: Record<string, string>) =>
    postForm(
      `${url}/oauth/token`,
      {
        grant_type: TOKEN_EXCHANGE,
        subject_token: held.brokerToken,
        subject_token_type: JWT,
        ...form,
      },
      headers,
    )
  const cases: [string, Record<string, string>, Record<string, string>, number][] = [
    ['no base64', {}, { authorization: 'Basic ???' }, 401],
    ['another scheme', {}, { authorization: `Bearer ${held.brokerToken}` }, 401],
    ['bad escapes', {}, basic('%zz:%zz'), 401],
    ['wrong secret', {}, basic(`${server.id}:x`), 401],
    ['right secret of another app', {}, basic(`${app.id}:${secret}`), 401],
    ['two ways at once', { client_secret: secret }, basic(`${server.id}:${secret}`), 400],
    ['two apps at once', { client_id: app.id }, basic(`${server.id}:${secret}`), 401],
    ['a secret of nobody', { client_secret: secret }, {}, 401],
    ['a very long secret', { client_id: server.id, client_secret: 'x'.repeat(20_000) }, {}, 401],
  ]
  for (const [words, form, headers, status] of cases) {
    await t.test(words, async (t) => {
      changed()
      const answer = await swap(form, headers)
      t.equal(answer.status, status)
      if (status === 401) t.match(answer.headers.get('www-authenticate'), /^Basic/)
      t.notOk(JSON.stringify(answer.body).includes(secret))
      t.notOk(changed())
    })
  }
  await t.test('a public app’s id by Basic, as some libraries send it', async (t) => {
    t.equal((await swap({}, basic(`${app.id}:`))).status, 200)
    t.equal((await swap({}, basic(app.id))).status, 200)
  })
})

t.test('content types and methods', async (t) => {
  const post = (path: string, type: string | null, body: string) => {
    const headers = {
      authorization: `Bearer ${held.brokerToken}`,
      ...(type && { 'content-type': type }),
    }
    return fetch(url + path, { method: 'POST', headers, body: Buffer.from(body) })
  }
  const json = '{"grant_type":"authorization_code"}'
  const cases: [string, string, string | null, string, number][] = [
    ['JSON to the token endpoint', '/oauth/token', 'application/json', json, 415],
    ['no type to the token endpoint', '/oauth/token', null, 'grant_type=x', 415],
    ['multipart', '/oauth/token', 'multipart/form-data; boundary=x', '--x--', 415],
    ['JSON to revoke', '/oauth/revoke', 'application/json', '{}', 415],
    ['a form to exchange', '/exchange', FORM, 'min_ttl=60', 415],
    ['text to exchange', '/exchange', 'text/plain', '{}', 415],
    ['XML to exchange', '/exchange', 'application/xml', '<a/>', 415],
    ['broken JSON', '/exchange', 'application/json', '{"min_ttl"', 400],
    ['JSON with a prototype', '/exchange', 'application/json', '{"__proto__":{"force":true}}', 400],
    ['JSON to the asking page', '/oauth/authorize', 'application/json', json, 415],
    ['a large form', '/oauth/token', FORM, 'a='.padEnd(40_000, 'x'), 413],
    ['a large JSON', '/exchange', 'application/json', `{"a":"${'x'.repeat(40_000)}"}`, 413],
  ]
  for (const [words, path, type, body, status] of cases) {
    await t.test(words, async (t) => {
      changed()
      const answer = await post(path, type, body)
      t.equal(answer.status, status)
      t.notMatch(await answer.text(), /\bat .+:\d+/, 'no stack trace')
      t.notOk(changed())
    })
  }
  const wrongMethods: [string, string[], string][] = [
    ['/exchange', ['GET', 'PUT', 'DELETE', 'PATCH'], 'POST'],
    ['/oauth/token', ['GET', 'PUT', 'DELETE'], 'POST'],
    ['/oauth/revoke', ['GET', 'DELETE'], 'POST'],
    ['/oauth/authorize', ['PUT', 'DELETE'], 'GET'],
    ['/callback', ['POST', 'PUT'], 'GET'],
    ['/.well-known/jwks.json', ['POST'], 'GET'],
    ['/healthz', ['POST'], 'GET'],
  ]
  for (const [path, methods, allowed] of wrongMethods) {
    for (const method of methods) {
      await t.test(`${method} ${path}`, async (t) => {
        const answer = await fetch(url + path, { method })
        t.equal(answer.status, 405)
        t.match(answer.headers.get('allow'), allowed)
        t.match(await answer.json(), { error: 'invalid_request', error_description: /Use / })
      })
    }
  }
})

t.test('what people see at addresses that lead nowhere', async (t) => {
  const page = await new Visitor().open(`${url}/nothing`)
  t.equal(page.status, 404)
  t.match(page.body, 'Nothing here')
  const home = await new Visitor().open(`${url}/`)
  t.equal(home.status, 200)
  t.match(home.body, 'Apps come here')
  const wrong = await new Visitor().open(`${url}/exchange`)
  t.equal(wrong.status, 405)
  t.match(wrong.body, 'Not this way')
})

t.test('a browser with very many flows gets rid of them', async (t) => {
  const { parameters } = authorizationRequest(app)
  const address = `${url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const visitor = new Visitor()
  const flows = () => [...visitor.cookies(url).keys()].filter((name) => name.includes('flow-'))
  for (let count = 0; count < 23; count++) {
    await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive', {}, RETURN)
  }
  t.ok(flows().length < 23, `${flows().length} flow cookies`)
  t.ok(flows().length >= 1)
})

line('a consent from another site, or from a frame', async (t) => {
  const { parameters } = authorizationRequest(app)
  const visitor = new Visitor()
  const address = `${url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const page = await visitor.open(address)
  t.match(page.headers.get('content-security-policy'), "frame-ancestors 'none'")
  t.equal(page.headers.get('x-frame-options'), 'DENY')
  const csrf = /name="_csrf" value="([^"]*)"/.exec(page.body)?.[1] ?? ''
  const post = (headers: Record<string, string>, form = {}) =>
    visitor.open(`${url}/oauth/authorize`, 'https://', {
      method: 'POST',
      body: new URLSearchParams({ ...parameters, decision: 'allow', _csrf: csrf, ...form }),
      headers,
    })
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]) {
    t.equal((await post(headers)).status, 403, JSON.stringify(headers))
  }
  t.equal((await post({ origin: url }, { _csrf: `${csrf}x` })).status, 403)
  t.equal((await post({ origin: url }, { _csrf: '' })).status, 403)
})
