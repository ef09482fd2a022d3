import { exportJWK, generateKeyPair } from 'jose'
import t from 'tap'
import { createServerClient } from '../../../sdk/server.ts'
import { addAppWithSecret, freePort } from '../../helper.ts'
import { listen } from '../../listen.ts'
import { begin, busy, errorOf } from './begin.ts'

const TOKEN = 'POST /v1/grants/grant_many0/token'

t.test('a busy broker is asked again after Retry-After', async (t) => {
  const { client, requests } = await begin(t, { users: 1 })
  requests.answerWith(busy(), busy('0', 429), busy('1'))
  const startedAt = performance.now()
  t.match(await client.getToken('grant_many0'), { accessToken: String })
  t.ok(performance.now() - startedAt >= 990)
  const tokens = Array<string>(4).fill('POST /oauth/token')
  t.strictSame(requests.paths, [...tokens, TOKEN])
})

t.test('an outage of Ellipsis Drive: the error says when to ask again', async (t) => {
  const { broker, newClient } = await begin(t, { users: 1 })
  const client = newClient({ retryForSeconds: 0 })
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1000 })
  const error = await errorOf(broker.clock.hurry(client.getToken('grant_many0')))
  t.match(error, { name: 'BrokerError', code: 'temporarily_unavailable', retryAfter: Number })
  t.match(error.message, /Ellipsis Drive/)
  broker.standIn.clearFaults()
  broker.clock.advance(1000 * (error.retryAfter ?? 0) + 1000)
  t.match(await client.getToken('grant_many0'), { accessToken: String })
})

t.test('longer waits than retryForSeconds are errors at once', async (t) => {
  const { newClient, client, requests } = await begin(t, { users: 1 })
  requests.answerWith(busy('11'))
  t.match(await errorOf(client.getToken('grant_many0')), { retryAfter: 11 })
  requests.answerWith(busy('1'), busy('1'))
  const error = await errorOf(newClient({ retryForSeconds: 1 }).getToken('grant_many0'))
  t.match(error, { code: 'temporarily_unavailable', retryAfter: 1 })
  requests.answerWith(new Response('<h1>Bad gateway</h1>', { status: 502 }))
  t.match(await client.getToken('grant_many0'), { accessToken: String }, 'of a proxy, without')
})

t.test('answers that say to ask again at once have an end', async (t) => {
  const { newClient, requests } = await begin(t, { users: 1 })
  requests.answerWith(...Array.from({ length: 20 }, () => busy('0')))
  const error = await errorOf(newClient({ retryForSeconds: 1 }).getToken('grant_many0'))
  t.match(error, { code: 'temporarily_unavailable', retryAfter: 0 })
  t.equal(requests.paths.length, 2)
})

t.test('a lost answer is asked for again', async (t) => {
  const { client, requests } = await begin(t, { users: 1 })
  await client.getToken('grant_many0')
  requests.answerWith(new TypeError('terminated'))
  await client.revokeGrant('grant_many0')
  t.match(await client.getGrant('grant_many0'), { status: 'revoked' })
})

t.test('a broker that cannot be reached, hangs, or is none', async (t) => {
  const options = { clientId: 'app_x', clientSecret: 'x', retryForSeconds: 0 }
  const closed = createServerClient({
    ...options,
    broker: `http://127.0.0.1:${await freePort()}`,
  })
  t.match(await errorOf(closed.getGrant('x')), {
    code: 'network_error',
    cause: { message: 'fetch failed' },
  })

  let handle: (path?: string) => string | number | undefined = () => undefined
  const paths: string[] = []
  const broker = await listen(t, (request, response) => {
    paths.push(request.url ?? '')
    const answer = handle(request.url)
    if (typeof answer === 'string') response.end(answer)
    else if (answer) response.writeHead(answer, { location: '/elsewhere' }).end()
  })
  const client = createServerClient({ ...options, broker, timeoutMs: 50 })
  const hung = await errorOf(client.getGrant('x'))
  t.match(hung, { code: 'network_error', cause: { name: 'TimeoutError' } })
  handle = () => '<h1>Welcome</h1>'
  t.match(await errorOf(client.getGrant('x')), { code: 'server_error', message: /status 200/ })
  handle = () => '"text"'
  t.match(await errorOf(client.getGrant('x')), { code: 'server_error' })
  handle = () => 307
  paths.length = 0
  t.match(await errorOf(client.getGrant('x')), { code: 'server_error', message: /status 307/ })
  t.strictSame(paths, ['/oauth/token'], 'the secret did not follow the redirect')
})

t.test('abort signals end calls and waits, not those of others', async (t) => {
  const { client, requests } = await begin(t, { users: 1 })
  const reason = new Error('the user left')
  const aborted = AbortSignal.abort(reason)
  await t.rejects(client.getToken('grant_many0', { signal: aborted }), reason)

  const one = new AbortController()
  requests.answerWith(busy('9'))
  const waiting = client.getToken('grant_many0', { signal: one.signal })
  one.abort(reason)
  await t.rejects(waiting, reason, 'while the app token is fetched')

  const fresh = await begin(t, { users: 1 })
  await fresh.client.getGrant('grant_many0')
  fresh.requests.answerWith(busy('9'))
  const two = new AbortController()
  const call = fresh.client.getToken('grant_many0', { signal: two.signal })
  await new Promise((resolve) => setImmediate(resolve))
  two.abort(reason)
  await t.rejects(call, reason, 'while it waits for the broker')

  const third = await begin(t, { users: 1 })
  const three = new AbortController()
  const [left, stays] = [
    third.client.getToken('grant_many0', { signal: three.signal }),
    third.client.getToken('grant_many0'),
  ]
  three.abort(reason)
  await t.rejects(left, reason)
  t.match(await stays, { accessToken: String }, 'both waited for the same app token')
})

t.test('an app with a private key, of every kind', async (t) => {
  const { broker, newClient } = await begin(t)
  for (const alg of ['EdDSA', 'ES256', 'RS256', 'PS256']) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] })
    const { app } = await addAppWithSecret(broker, { confidential: true, offline: true, jwks })
    const jwk = { ...(await exportJWK(privateKey)), kid: 'one', alg }
    const keys = { jwk: { privateKey: jwk }, CryptoKey: { privateKey, keyId: 'one' } }
    for (const [kind, key] of Object.entries(keys)) {
      const client = newClient({ clientId: app.id, clientSecret: undefined, ...key } as never)
      t.strictSame(await Array.fromAsync(client.listGrants()), [], `${alg} as ${kind}`)
      const { url } = await client.createAuthorization({ redirectUri: app.redirectUris[0] ?? '' })
      t.match(url, 'request_uri', 'each call has an assertion of its own')
    }
  }
  const secret = newClient({ clientSecret: undefined, privateKey: { kty: 'oct', k: 'x' } } as never)
  await t.rejects(secret.getGrant('x'), { name: 'TypeError', message: /cannot sign/ })
})

t.test('a wrong secret', async (t) => {
  const { newClient } = await begin(t)
  const error = await errorOf(newClient({ clientSecret: 'wrong' }).getGrant('x'))
  t.equal(error.code, 'invalid_client')
})
