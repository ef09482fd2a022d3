import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT, exportJWK, generateKeyPair } from 'jose'
import type { JWK } from 'jose'
import t from 'tap'
import type { Test } from 'tap'
import type { App } from '../../db/store.ts'
import { createClientKeys } from '../../server/oauth/client-keys.ts'
import { createPublicDownload } from '../../server/public-download.ts'
import { addApp, addAppWithSecret, authorize, buildBroker, postForm } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { serve } from '../processes.ts'

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

async function newKey(alg: string, kid: string = alg, options: object = {}) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true, ...options })
  return { alg, kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid } as JWK }
}
type Key = Awaited<ReturnType<typeof newKey>>

const setOf = (...keys: { jwk: JWK }[]): string =>
  JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })

const ed = await newKey('EdDSA')
const keys = [ed, await newKey('ES256'), await newKey('RS256'), await newKey('PS256')]

/** An assertion as an app signs it. A claim that is `undefined` is left out. */
const sign = ({ clock, url }: TestBroker, app: App, key: Key, claims: object = {}, header = {}) => {
  const now = Math.floor(clock.now() / 1000)
  const own = { iss: app.id, sub: app.id, aud: url, iat: now, exp: now + 60, jti: randomUUID() }
  const { alg, kid, privateKey } = key
  return new SignJWT({ ...own, ...claims })
    .setProtectedHeader({ alg, kid, ...header })
    .sign(privateKey)
}

const withAssertion = (assertion: string) => ({
  client_assertion: assertion,
  client_assertion_type: TYPE,
})

/** Introspection, which authenticates and has no other effect. */
const introspect = (url: string, form: Record<string, string>) =>
  postForm(`${url}/oauth/introspect`, { token: 'x', ...form })

const confidential = { confidential: true, jwks: setOf(...keys) }

t.test('an app authenticates with its keys at every endpoint', async (t) => {
  const broker = await buildBroker(t)
  const settings = { ...confidential, device: true }
  const { app, clientSecret } = await addAppWithSecret(broker, settings)
  t.equal(clientSecret, null, 'it needs no secret')
  for (const key of keys) {
    const assertion = await sign(broker, app, key)
    const { status, body } = await introspect(broker.url, withAssertion(assertion))
    t.same({ status, body }, { status: 200, body: { active: false } }, key.alg)
  }
  const path = { device: '/oauth/device_authorization', revoke: '/oauth/revoke' }
  const send = async (path: string, form: object) =>
    postForm(broker.url + path, { ...form, ...withAssertion(await sign(broker, app, ed)) })
  t.equal((await send(path.device, {})).status, 200, 'without a client_id')
  t.equal((await send(path.device, { client_id: app.id })).status, 200)
  t.equal((await send(path.revoke, { token: 'x' })).status, 200)
  const code = { grant_type: 'authorization_code', code: 'x', redirect_uri: 'x' }
  t.match(await send('/oauth/token', code), { status: 400, body: { error: 'invalid_grant' } })
  const wrong = await postForm(`${broker.url}/oauth/token`, {
    ...code,
    client_id: app.id,
    code_verifier: 'x',
  })
  t.match(wrong, { status: 401, body: { error: 'invalid_client' } }, 'without an assertion')
})

t.test('what is refused', async (t) => {
  const broker = await buildBroker(t)
  const { app } = await addAppWithSecret(broker, confidential)
  const other = await addApp(broker, confidential)
  const now = Math.floor(broker.clock.now() / 1000)
  const stranger = await newKey('EdDSA')
  const cases: Record<string, [expected: RegExp, assertion: Promise<string>]> = {
    expired: [/expired/, sign(broker, app, ed, { exp: now - 61 })],
    'without an end': [/exp/, sign(broker, app, ed, { exp: undefined })],
    'too long': [/within an hour/, sign(broker, app, ed, { exp: now + 3700 })],
    'of the future': [/future/, sign(broker, app, ed, { iat: now + 120 })],
    'without jti': [/jti/, sign(broker, app, ed, { jti: undefined })],
    'with an empty jti': [/jti/, sign(broker, app, ed, { jti: '' })],
    'with a long jti': [/jti/, sign(broker, app, ed, { jti: 'x'.repeat(513) })],
    'of another subject': [/client_id/, sign(broker, app, ed, { sub: other.id })],
    'with too many claims': [/not a JWT/, sign(broker, app, ed, { x: 'x'.repeat(8192) })],
    'for another audience': [/issuer/, sign(broker, app, ed, { aud: 'https://other.example' })],
    'for the token endpoint': [
      /issuer/,
      sign(broker, app, ed, { aud: `${broker.url}/oauth/token` }),
    ],
    'for two': [/issuer/, sign(broker, app, ed, { aud: [broker.url, 'https://other.example'] })],
    'of another issuer': [/client_id/, sign(broker, app, ed, { iss: other.id })],
    'of a foreign key': [/signature/, sign(broker, app, stranger)],
    'of an unknown key': [/No key/, sign(broker, app, { ...stranger, kid: 'unknown' })],
    'of another type': [/typ/, sign(broker, app, ed, {}, { typ: 'dpop+jwt' })],
    'no JWT': [/not a JWT/, Promise.resolve('x.y.z')],
  }
  for (const [name, [expected, assertion]] of Object.entries(cases)) {
    const form = { client_id: app.id, ...withAssertion(await assertion) }
    const { status, body, headers } = await introspect(broker.url, form)
    t.match({ status, body }, { status: 401, body: { error: 'invalid_client' } }, name)
    t.match(body.error_description, expected, name)
    t.ok(headers.get('www-authenticate'), name)
  }
  const array = await sign(broker, app, ed, { aud: [broker.url] })
  t.equal((await introspect(broker.url, withAssertion(array))).status, 200, 'one in an array')

  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${array.split('.')[1]}.`
  t.equal((await introspect(broker.url, withAssertion(unsigned))).status, 401, 'unsigned')
  const ofOther = { client_id: other.id, ...withAssertion(await sign(broker, app, ed)) }
  t.equal((await introspect(broker.url, ofOther)).status, 401, 'for another client_id')
  const publicApp = await addApp(broker, { device: true })
  const ofPublic = withAssertion(await sign(broker, publicApp, ed))
  t.match(await postForm(`${broker.url}/oauth/device_authorization`, ofPublic), {
    status: 401,
    body: { error: 'invalid_client' },
  })
  const good = withAssertion(await sign(broker, app, ed))
  const both = await introspect(broker.url, { ...good, client_id: app.id, client_secret: 'x' })
  t.match(both, { status: 400, body: { error: 'invalid_request' } })
  const untyped = await introspect(broker.url, { client_assertion: good.client_assertion })
  t.match(untyped, { status: 400, body: { error: 'invalid_request' } })
  const saml = {
    ...good,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer',
  }
  t.match(await introspect(broker.url, saml), { status: 401, body: { error: 'invalid_client' } })
  t.equal((await introspect(broker.url, good)).status, 200, 'none of these used it up')
  t.notOk(broker.logged.some((line) => line.includes(good.client_assertion)))
})

t.test('an assertion works once, in every process', async (t) => {
  const broker = await buildBroker(t)
  const { app } = await addAppWithSecret(broker, confidential)
  const other = await serve(t, broker.env)
  const assertion = withAssertion(await sign(broker, app, ed))
  const answers = await Promise.all(
    [broker.url, other.url, broker.url, other.url].map((url) => introspect(url, assertion)),
  )
  const statuses = answers.map(({ status }) => status).sort()
  t.same(statuses, [200, 401, 401, 401])
  const again = await introspect(other.url, assertion)
  t.match(again.body, { error: 'invalid_client', error_description: /used before/ })
  const another = withAssertion(await sign(broker, app, ed))
  t.equal((await introspect(other.url, another)).status, 200)
})

t.test('it is not forgotten while it is valid, and each app has its own', async (t) => {
  const broker = await buildBroker(t)
  const [app, other] = [await addApp(broker, confidential), await addApp(broker, confidential)]
  const jti = randomUUID()
  const assertion = withAssertion(await sign(broker, app, ed, { jti }))
  t.equal((await introspect(broker.url, assertion)).status, 200)
  const ofOther = withAssertion(await sign(broker, other, ed, { jti }))
  t.equal((await introspect(broker.url, ofOther)).status, 200, 'the same jti of another app')
  // The end of the assertion has passed, within the accepted difference of clocks.
  broker.clock.advance(90_000)
  await broker.services.sweeper.sweep()
  const again = await introspect(broker.url, assertion)
  t.match(again.body, { error: 'invalid_client', error_description: /used before/ })
})

t.test('without a kid, one of several keys must verify', async (t) => {
  const broker = await buildBroker(t)
  const [first, second] = [await newKey('EdDSA', 'first'), await newKey('EdDSA', 'second')]
  const app = await addApp(broker, { confidential: true, jwks: setOf(first, second) })
  const send = async (key: Key) =>
    introspect(broker.url, withAssertion(await sign(broker, app, key, {}, { kid: undefined })))
  t.equal((await send(first)).status, 200)
  t.equal((await send(second)).status, 200)
  const refused = await send(await newKey('EdDSA'))
  t.match(refused, { status: 401, body: { error_description: /signature/ } })
})

t.test('keys replace a secret without an interruption', async (t) => {
  const broker = await buildBroker(t)
  const { apps } = broker.services
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const bySecret = { client_id: app.id, client_secret: clientSecret?.reveal() ?? '' }
  const byKey = async (key: Key) => withAssertion(await sign(broker, app, key))
  await t.rejects(apps.removeSecrets(app.id, 'test'), { message: /neither a secret nor keys/ })
  t.equal((await introspect(broker.url, await byKey(ed))).status, 401)
  await apps.set(app.id, { jwks: setOf(ed) }, 'test')
  t.equal((await introspect(broker.url, bySecret)).status, 200)
  t.equal((await introspect(broker.url, await byKey(ed))).status, 200)
  await apps.removeSecrets(app.id, 'test')
  t.equal((await introspect(broker.url, bySecret)).status, 401)
  await t.rejects(apps.set(app.id, { jwks: null }, 'test'), {
    message: /neither a secret nor keys/,
  })

  const next = await newKey('EdDSA', 'next')
  await apps.set(app.id, { jwks: setOf(ed, next) }, 'test')
  t.equal((await introspect(broker.url, await byKey(next))).status, 200)
  await apps.set(app.id, { jwks: setOf(next) }, 'test')
  t.equal((await introspect(broker.url, await byKey(next))).status, 200)
  t.equal((await introspect(broker.url, await byKey(ed))).status, 401, 'removed: at once')
})

t.test('only good public keys are registered', async (t) => {
  const broker = await buildBroker(t)
  const weak = { jwk: { kty: 'RSA', e: 'AQAB', n: Buffer.alloc(128, 0xff).toString('base64url') } }
  const p384 = await newKey('ES384')
  const secret = { jwk: { ...ed.jwk, d: 'AAAA' } }
  const add = (settings: object) => addApp(broker, { confidential: true, ...settings })
  await t.rejects(add({ jwks: '{}' }), { message: /JWK Set/ })
  await t.rejects(add({ jwks: '{"keys":[]}' }), { message: /1 to 20/ })
  await t.rejects(add({ jwks: setOf(secret) }), { message: /private/ })
  await t.rejects(add({ jwks: setOf(weak) }), { message: /2048/ })
  await t.rejects(add({ jwks: setOf(p384) }), { message: /P-256/ })
  const encrypting = { jwk: { ...ed.jwk, use: 'enc' } }
  await t.rejects(add({ jwks: setOf(encrypting) }), { message: /not for signatures/ })
  const many = Array.from({ length: 21 }, () => ed)
  await t.rejects(add({ jwks: setOf(...many) }), { message: /1 to 20/ })
  await t.rejects(add({ jwks: setOf(ed), confidential: false }), { message: /confidential/ })
  for (const host of ['keys.example.com', 'localhost.example', 'a-localhost', '127.0.0.1.example'])
    await t.rejects(add({ jwksUri: `http://${host}/` }), { message: /https/ }, host)
  for (const rest of ['user@a.example/', ':password@a.example/', 'a.example/#keys'])
    await t.rejects(add({ jwksUri: `https://${rest}` }), { message: /without user/ }, rest)
  await t.rejects(add({ jwksUri: 'https://a.example/', jwks: setOf(ed) }), { message: /not both/ })
  await add({ jwksUri: 'https://keys.example.com/jwks.json' })
})

/** A server that publishes keys. */
async function publishKeys(t: Test, initial: string) {
  const published = { body: initial, status: 200, requests: 0, uri: '' }
  const server = createServer((_request, response) => {
    published.requests++
    const headers = published.status === 302 ? { location: '/elsewhere' } : {}
    response.writeHead(published.status, headers).end(published.body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  published.uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
  return published
}

t.test('keys at a jwks_uri are fetched, cached and renewed', async (t) => {
  const published = await publishKeys(t, setOf(ed))
  const broker = await buildBroker(t, { env: { BROKER_JWKS_ALLOW: '127.0.0.1' } })
  const app = await addApp(broker, { confidential: true, jwksUri: published.uri })
  const send = async (key: Key) =>
    introspect(broker.url, withAssertion(await sign(broker, app, key)))
  const many = await Promise.all(Array.from({ length: 5 }, () => send(ed)))
  t.same(
    many.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  )
  t.equal(published.requests, 1, 'one request for all')

  const next = await newKey('EdDSA', 'next')
  published.body = setOf(next)
  t.equal((await send(next)).status, 401, 'within half a minute')
  broker.clock.advance(31_000)
  t.equal((await send(next)).status, 200, 'fetched for the unknown key')
  t.equal((await send(ed)).status, 401, 'removed')
  t.equal(published.requests, 2)

  // The same id, another key.
  const replaced = await newKey('EdDSA', 'next')
  published.body = setOf(replaced)
  broker.clock.advance(31_000)
  t.equal((await send(replaced)).status, 200)
  t.equal((await send(next)).status, 401)

  published.body = setOf(ed)
  broker.clock.advance(10 * 60_000)
  t.equal((await send(replaced)).status, 401, 'no key is used for longer than ten minutes')
  t.equal((await send(ed)).status, 200)

  const failures = {
    'no keys': { status: 200, body: '<html>' },
    'too large': { status: 200, body: ' '.repeat(70_000) },
    'an error': { status: 500, body: setOf(ed) },
    'a redirect': { status: 302, body: setOf(ed) },
  }
  for (const [name, failure] of Object.entries(failures)) {
    broker.clock.advance(10 * 60_000)
    Object.assign(published, failure, { requests: 0 })
    for (let count = 0; count < 3; count++) {
      const refused = await send(ed)
      const expected = { status: 503, body: { error: 'temporarily_unavailable', retry_after: 30 } }
      t.match(refused, expected, name)
    }
    t.equal(published.requests, 1, name)
  }
})

t.test('a published set may have other keys, which verify nothing', async (t) => {
  const leaked = await newKey('EdDSA', 'leaked')
  leaked.jwk = { ...(await exportJWK(leaked.privateKey)), kid: 'leaked' }
  const encrypting = await newKey('ES256')
  encrypting.jwk.use = 'enc'
  const published = await publishKeys(t, setOf(leaked, encrypting, ed))
  const broker = await buildBroker(t, { env: { BROKER_JWKS_ALLOW: '127.0.0.1' } })
  const app = await addApp(broker, { confidential: true, jwksUri: published.uri })
  const send = async (key: Key) =>
    introspect(broker.url, withAssertion(await sign(broker, app, key)))
  t.equal((await send(ed)).status, 200)
  for (const key of [leaked, encrypting])
    t.match(await send(key), { status: 401, body: { error_description: /No key/ } }, key.kid)
})

t.test('requests that wait for the same failure share the next download', async (t) => {
  const { clock, services } = await buildBroker(t)
  let downloads = 0
  const download = async () => {
    if (downloads++ === 0) throw new Error('not yet')
    return setOf(ed)
  }
  const clientKeys = createClientKeys({ clock, log: services.log, download })
  const app = { id: 'app', jwks: null, jwksUri: 'https://keys.example.com/' }
  await t.rejects(clientKeys.get(app), { code: 'temporarily_unavailable' })
  clock.advance(31_000)
  await Promise.all(Array.from({ length: 5 }, () => clientKeys.get(app)))
  t.equal(downloads, 2)
})

t.test('keys are not fetched from private addresses, unless the host allows it', async (t) => {
  const published = await publishKeys(t, setOf(ed))
  const broker = await buildBroker(t)
  const { port } = new URL(published.uri)
  for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
    const jwksUri = `http://${host}:${port}/`
    const app = await addApp(broker, { confidential: true, jwksUri })
    const assertion = await sign(broker, app, ed)
    t.equal((await introspect(broker.url, withAssertion(assertion))).status, 503, host)
  }
  t.equal(published.requests, 0)
  const refused = broker.logged.filter((line) => line.includes('is not a public address'))
  t.equal(refused.length, 3)
})

t.test('a download has a size and a time limit', async (t) => {
  const published = await publishKeys(t, 'x'.repeat(10))
  const limits = { allowed: ['127.0.0.1'], proxy: null }
  const download = (maxBytes: number) =>
    createPublicDownload({ ...limits, maxBytes })(published.uri)
  t.equal(await download(10), 'x'.repeat(10))
  await t.rejects(download(9), /more than 9 bytes/)
  const timeouts = t.capture(AbortSignal, 'timeout', () => AbortSignal.abort())
  await t.rejects(download(10), { name: 'AbortError' })
  t.match(timeouts.args(), [[5000]])
})

t.test('codes and swaps of a confidential app take an assertion', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, confidential)
  const { returned, verifier } = await authorize(broker, app)
  const ask = async (key: Key, form: Record<string, string>) => {
    const authentication = withAssertion(await sign(broker, app, key))
    return postForm(`${broker.url}/oauth/token`, { ...form, ...authentication })
  }
  const code = {
    grant_type: 'authorization_code',
    code: returned.searchParams.get('code') ?? '',
    code_verifier: verifier,
  }
  const stranger = await newKey('EdDSA')
  t.match(await ask(stranger, code), { status: 401, body: { error: 'invalid_client' } })
  const redeemed = await ask(ed, code)
  t.equal(redeemed.status, 200)
  const swap = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: String(redeemed.body.access_token),
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  }
  t.equal((await ask(ed, swap)).status, 200)
  t.match(await ask(stranger, swap), { status: 401, body: { error: 'invalid_client' } })
  const anonymous = await postForm(`${broker.url}/oauth/token`, swap)
  t.equal(anonymous.status, 401)
})
