import type { IncomingHttpHeaders, RequestListener } from 'node:http'
import t from 'tap'
import { Secret } from '../../server/secret.ts'
import { always, clientAt, clientOf, refresh } from './upstream.ts'

t.test('a state or challenge that is too long for upstream is an error', (t) => {
  const client = clientAt('https://drive.example.com/v3')
  const [fits, long] = ['x'.repeat(50), 'x'.repeat(51)]
  t.match(client.authorizationUrl({ state: fits, challenge: fits }), `state=${fits}`)
  t.throws(() => client.authorizationUrl({ state: long, challenge: fits }), RangeError)
  t.throws(() => client.authorizationUrl({ state: fits, challenge: long }), RangeError)
  t.end()
})

t.test('request headers', async (t) => {
  const seen: IncomingHttpHeaders[] = []
  const client = await clientOf(t, (request, response) => {
    seen.push(request.headers)
    always(200, { access_token: 'a' })(request, response)
  })
  await refresh(client)
  await client.account(new Secret('the-token'))
  for (const headers of seen) {
    t.match(headers, { accept: 'application/json', 'user-agent': 'ellipsis-broker' })
  }
  t.match(seen[0], {
    'content-type': 'application/x-www-form-urlencoded',
    authorization: /^Basic /,
  })
  t.match(seen[1], { authorization: 'Bearer the-token' })
})

t.test('no call is repeated', async (t) => {
  for (const status of [200, 400, 401, 429, 500, 503]) {
    let calls = 0
    const client = await clientOf(t, (request, response) => {
      calls++
      always(status, '', { 'retry-after': '0' })(request, response)
    })
    await refresh(client).catch(() => undefined)
    t.equal(calls, 1, `status ${status}`)
  }
})

t.test('every call is counted by its outcome', async (t) => {
  const cases: [RequestListener, string][] = [
    [always(200, { access_token: 'a', refresh_token: 'r' }), 'ok'],
    [always(201, { access_token: 'a' }), 'ok'],
    [always(200, { access_token: 'a', refresh_token: 7 }), 'refresh_token_lost'],
    [always(200, {}), 'unusable'],
    [always(400, { error: 'invalid_grant' }), 'refused'],
    [always(401, { error: 'invalid_client' }), 'misconfigured'],
    [always(302, ''), '302'],
    [always(429, ''), '429'],
    [always(503, ''), '503'],
    [(request) => request.socket.destroy(), 'failed'],
  ]
  for (const [answer, outcome] of cases) {
    const calls: object[] = []
    const client = await clientOf(t, answer, { onCall: (call) => calls.push(call) })
    await refresh(client).catch(() => undefined)
    t.match(calls, [{ endpoint: 'refresh', outcome, durationMs: Number }])
    t.equal(calls.length, 1)
  }
})

t.test('every call is counted by its endpoint', async (t) => {
  const calls: string[] = []
  const onCall = (call: { endpoint: string; outcome: string }) =>
    calls.push(`${call.endpoint} ${call.outcome}`)
  const client = await clientOf(t, always(403, {}), { onCall })
  const secret = new Secret('a')
  await client.exchangeCode({ code: secret, verifier: secret }).catch(() => undefined)
  await client.account(secret)
  t.strictSame(calls, ['token 403', 'account refused'])
})

t.test('an error in counting does not lose the tokens', async (t) => {
  let calls = 0
  const onCall = () => {
    calls++
    throw new Error('no room to count')
  }
  const client = await clientOf(t, always(200, { access_token: 'a' }), { onCall })
  t.equal((await refresh(client)).accessToken.reveal(), 'a')
  t.equal(calls, 1)
})
