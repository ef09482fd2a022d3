import { decodeJwt } from 'jose'
import t from 'tap'
import {
  accessToken,
  authorize,
  client,
  CREDENTIALS,
  get,
  pkce,
  postForm,
  redeem,
  refresh,
  REDIRECT_URI,
  send,
  start,
} from '../helper.ts'

const basic = (id: string, secret: string) =>
  `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`

t.test('a code is exchanged for tokens once', async (t) => {
  const running = await start(t)
  const code = await authorize(running)
  const { status, headers, body } = await redeem(running, code)
  t.equal(status, 200)
  t.equal(headers.get('cache-control'), 'no-store')
  t.match(body, { token_type: 'Bearer', expires_in: 3600, scope: 'projects' })
  t.ok(body.refresh_token.length <= 256, 'fits the column of Ellipsis Drive')
  const issued = running.standIn.issued()
  t.ok([code, body.access_token, body.refresh_token].every((value) => issued.includes(value)))
  const again = await redeem(running, code)
  t.equal(again.status, 400)
  t.match(again.body, { error: 'invalid_grant', error_description: String })
})

t.test('a code expires after one minute', async (t) => {
  const running = await start(t)
  const [early, late] = [await authorize(running), await authorize(running)]
  await authorize(running) // not redeemed
  running.clock.advance(59_999)
  t.equal((await redeem(running, early)).status, 200)
  running.clock.advance(1)
  t.equal((await redeem(running, late)).body.error, 'invalid_grant')
  t.match(await authorize(running), /-/, 'expired codes are deleted when the next is issued')
})

t.test('codes and refresh tokens belong to one client', async (t) => {
  const other = { id: 'other', secret: 'sesame', redirectUris: [REDIRECT_URI] }
  const running = await start(t, { clients: [client, other] })
  const code = await authorize(running)
  const credentials = { client_id: 'other', client_secret: 'sesame' }
  t.equal((await redeem(running, code, credentials)).body.error, 'invalid_grant')
  const token = running.standIn.grant('amelie')
  const stolen = { grant_type: 'refresh_token', refresh_token: token, ...credentials }
  t.equal((await postForm(running, stolen)).body.error, 'invalid_grant')
  t.ok(running.standIn.honours(token))
})

t.test('redirect_uri is required and must match if the authorization request had it', async (t) => {
  const running = await start(t)
  const grantType = { grant_type: 'authorization_code' }
  const cases: [string | undefined, Record<string, string>, number][] = [
    [REDIRECT_URI, { redirect_uri: REDIRECT_URI }, 200],
    [REDIRECT_URI, {}, 400],
    [REDIRECT_URI, { redirect_uri: 'https://other.example.com' }, 400],
    [undefined, {}, 200],
    [undefined, { redirect_uri: REDIRECT_URI }, 200],
    [undefined, { redirect_uri: 'https://other.example.com' }, 400],
  ]
  for (const [redirect_uri, sent, status] of cases) {
    const code = await authorize(running, { redirect_uri })
    const answer = await postForm(running, { ...grantType, authorization_code: code, ...sent })
    t.equal(answer.status, status, `${redirect_uri}, ${JSON.stringify(sent)}`)
  }
})

t.test('PKCE: S256 and plain; plain is the default', async (t) => {
  const running = await start(t)
  const { verifier, challenge } = pkce()
  const cases: [Record<string, string>, string, string?][] = [
    [{ code_challenge: challenge, code_challenge_method: 'S256' }, verifier],
    [{ code_challenge: challenge, code_challenge_method: 'S256' }, challenge, 'invalid_grant'],
    [{ code_challenge: verifier, code_challenge_method: 'plain' }, verifier],
    [{ code_challenge: verifier }, verifier],
    [{ code_challenge: challenge }, verifier, 'invalid_grant'],
    [{ code_challenge: challenge, code_challenge_method: 'S256' }, '', 'invalid_request'],
  ]
  for (const [query, code_verifier, error] of cases) {
    const code = await authorize(running, query)
    const { body } = await redeem(running, code, { code_verifier })
    t.equal(body.error, error, JSON.stringify(query))
  }
})

t.test('client authentication by HTTP Basic or in the body', async (t) => {
  const specialClient = { id: 'a b:c', secret: '50% + &', redirectUris: [REDIRECT_URI] }
  const running = await start(t, { clients: [client, specialClient] })
  const refreshing = { grant_type: 'refresh_token', refresh_token: running.standIn.grant('bo') }
  const byBasic = (authorization: string, more = {}) =>
    postForm(running, { ...refreshing, ...more }, { authorization })
  t.equal((await postForm(running, refreshing)).status, 200)
  t.equal((await byBasic(basic(client.id, client.secret))).status, 200)
  t.equal((await byBasic(basic(client.id, client.secret), { client_id: client.id })).status, 200)

  const encoded = basic('a+b%3Ac', '50%25+%2B+%26')
  const ownToken = { refresh_token: running.standIn.grant('bo', specialClient.id) }
  t.equal((await byBasic(encoded, ownToken)).status, 200, 'form-encoded (RFC 6749 2.3.1)')

  for (const header of [basic(client.id, 'wrong'), basic('nobody', client.secret), 'Basic !']) {
    const refused = await byBasic(header)
    t.equal(refused.status, 401, header)
    t.equal(refused.body.error, 'invalid_client')
    t.match(refused.headers.get('www-authenticate'), 'Basic')
  }
  const wrong = await postForm(running, { ...refreshing, client_secret: 'wrong' })
  t.equal(wrong.body.error, 'invalid_client')
  const twice = await byBasic(basic(client.id, client.secret), CREDENTIALS)
  t.equal(twice.body.error, 'invalid_request', 'not both methods at once')
})

t.test('the token endpoint reads form and JSON, by tokenRequest', async (t) => {
  const running = await start(t)
  const refresh_token = running.standIn.grant('amelie')
  const body = { ...CREDENTIALS, grant_type: 'refresh_token', refresh_token }
  const asJson = () => send('POST', `${running.apiUrl}/oauth/token`, body)
  t.equal((await asJson()).status, 200)
  t.equal((await postForm(running, body)).status, 200)

  running.standIn.switches.tokenRequest = 'form'
  t.equal((await asJson()).body.error, 'invalid_request', 'counts as empty')
  t.equal((await postForm(running, body)).status, 200)

  running.standIn.switches.tokenRequest = 'json'
  t.equal((await asJson()).status, 200)
  t.equal((await postForm(running, body)).body.error, 'invalid_request')

  const number = await send('POST', `${running.apiUrl}/oauth/token`, { ...body, client_id: 5 })
  t.equal(number.body.error, 'invalid_request')
  const broken = await fetch(`${running.apiUrl}/oauth/token`, {
    method: 'POST',
    body: '{',
    headers: { 'content-type': 'application/json' },
  })
  t.equal(broken.status, 400)
  t.match(await broken.json(), { message: String })
})

t.test('codeParameter selects the parameter of the code', async (t) => {
  const running = await start(t)
  const post = (parameters: Record<string, string>) =>
    postForm(running, {
      grant_type: 'authorization_code',
      redirect_uri: REDIRECT_URI,
      ...parameters,
    })
  const works = async (name: string) => (await post({ [name]: await authorize(running) })).status
  t.equal(await works('code'), 200)
  t.equal(await works('authorization_code'), 200)
  running.standIn.switches.codeParameter = 'code'
  t.equal(await works('code'), 200)
  t.equal(await works('authorization_code'), 400)
  running.standIn.switches.codeParameter = 'authorization_code'
  t.equal(await works('authorization_code'), 200)
  const code = await authorize(running)
  t.equal((await post({ code })).body.error, 'invalid_request')
  t.equal(
    (await post({ code, authorization_code: code })).status,
    200,
    'both sent; the code is not consumed yet',
  )
})

t.test('missing and unknown parameters are rejected', async (t) => {
  const running = await start(t)
  t.equal((await postForm(running, {})).body.error, 'invalid_request')
  const refreshing = await postForm(running, { grant_type: 'refresh_token' })
  t.equal(refreshing.body.error, 'invalid_request')
  const other = await postForm(running, { grant_type: 'password' })
  t.equal(other.body.error, 'unsupported_grant_type')
  t.equal((await refresh(running, 'nonsense')).body.error, 'invalid_grant')
  t.equal((await redeem(running, 'nonsense')).body.error, 'invalid_grant')
  const none = await fetch(`${running.apiUrl}/oauth/token`, { method: 'POST' })
  t.equal(none.status, 400, 'no body')
})

t.test('errorShape selects the form of errors', async (t) => {
  const running = await start(t)
  const shapes = [
    ['oauth', 'application/json', /^{"error":"invalid_grant","error_description":".+"}$/],
    ['message', 'application/json', /^{"message":".+"}$/],
    ['html', 'text/html', /^<!doctype html>/],
    ['empty', 'text/plain', /^$/],
  ] as const
  for (const [errorShape, type, text] of shapes) {
    running.standIn.switches.errorShape = errorShape
    const refused = await refresh(running, 'nonsense')
    t.equal(refused.status, 400, errorShape)
    t.match(refused.headers.get('content-type'), type)
    t.match(refused.text, text)
  }
})

t.test('expires_in and refresh_token are omitted by switch', async (t) => {
  const running = await start(t)
  const { switches } = running.standIn
  switches.tokenLifetime = 60
  const token = running.standIn.grant('amelie')
  const complete = await refresh(running, token)
  t.match(complete.body, { expires_in: 60, refresh_token: token })

  switches.omitExpiresIn = true
  t.notOk('expires_in' in (await refresh(running, token)).body)

  switches.omitRefreshToken = true
  switches.rotation = 'always'
  t.notOk('refresh_token' in (await refresh(running, token)).body)
  t.equal(
    (await refresh(running, token)).status,
    200,
    'the token that was not replaced still works',
  )
  const { body } = await redeem(running, await authorize(running))
  t.ok(body.refresh_token, 'a code response always has one')
})

t.test('access tokens are JWTs or opaque, with a minimum length', async (t) => {
  const running = await start(t)
  const { switches } = running.standIn
  switches.tokenLifetime = 60
  const account = (token: string) =>
    get(`${running.apiUrl}/account`, { authorization: `Bearer ${token}` })

  const jwt = await accessToken(running)
  const { exp = 0, iat = 0, sub } = decodeJwt(jwt)
  t.equal(exp - iat, 60)
  t.equal(sub, (await account(jwt)).body.id)

  switches.opaqueTokens = true
  const opaque = await accessToken(running)
  t.throws(() => decodeJwt(opaque))
  t.equal((await account(opaque)).status, 200)

  switches.tokenLength = 16_384
  const longOpaque = await accessToken(running)
  t.equal(longOpaque.length, 16_384)
  switches.opaqueTokens = false
  const longJwt = await accessToken(running)
  t.ok(longJwt.length >= 16_384)
  for (const token of [longOpaque, longJwt]) {
    t.equal((await account(token)).status, 200, 'in the header')
    t.equal((await get(`${running.apiUrl}/account?token=${token}`)).status, 200, 'in the query')
  }

  running.clock.advance(61_000)
  for (const token of [jwt, opaque, longOpaque, longJwt])
    t.equal((await account(token)).status, 401)
  switches.opaqueTokens = true
  t.equal((await account(await accessToken(running))).status, 200, 'expired tokens are deleted')
})

t.test('tokenDelay delays the token endpoint', async (t) => {
  const running = await start(t, { switches: { tokenDelay: 10_000 } })
  const token = running.standIn.grant('bo')
  const answer = refresh(running, token)
  await running.clock.asleep(10_000)
  running.clock.advance(10_000)
  t.equal((await answer).status, 200)
})
