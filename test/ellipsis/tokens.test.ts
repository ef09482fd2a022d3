import t from 'tap'
import { losesRefreshToken, readTokens } from '../../server/ellipsis/tokens.ts'
import { failureOf } from './upstream.ts'

const call = { fetchedAt: 1_000_000, now: 1_000_300, defaultLifetimeSeconds: 60 }

const answer = (json: Record<string, unknown> | null, status = 200) => ({
  status,
  json,
  headers: new Headers(),
  isSafeMethod: false,
})

const read = (json: Record<string, unknown>, status?: number) =>
  readTokens(answer(json, status), call)

const failing = (json: Record<string, unknown> | null, status?: number) =>
  failureOf(new Promise((resolve) => resolve(readTokens(answer(json, status), call))))

const MAX_TOKEN_LENGTH_BYTES = 16 * 1024

t.test('a response as in RFC 6749', async (t) => {
  const tokens = read({
    access_token: 'a',
    refresh_token: 'r',
    expires_in: 600,
    token_type: 'Bearer',
    scope: 'projects',
  })
  t.equal(tokens.accessToken.reveal(), 'a')
  t.equal(tokens.refreshToken?.reveal(), 'r')
  t.match(tokens, { expiresAt: 1_600_000, fetchedAt: 1_000_000, scope: 'projects' })
})

t.test('tokens are read from any 2xx response, because upstream has rotated by then', async (t) => {
  for (const status of [200, 201, 202, 203, 206, 299]) {
    t.equal(read({ access_token: 'a', refresh_token: 'r' }, status).refreshToken?.reveal(), 'r')
  }
  for (const status of [302, 400, 500]) {
    const error = await failing({ access_token: 'a', refresh_token: 'r' }, status)
    t.match(error, { kind: 'transient', status, refreshToken: null })
  }
})

t.test('only access_token is required', async (t) => {
  const unusual = {
    access_token: 'a',
    token_type: 7,
    expires_in: {},
    scope: ['projects'],
    error: 'x',
  }
  t.match(read(unusual), { refreshToken: null, expiresAt: 1_060_000, scope: null })
  t.equal(read({ access_token: 'a', error: 'invalid_grant' }).accessToken.reveal(), 'a')
  t.equal(read({ access_token: 'a', scope: 'x\ny' }).scope, null)
  t.equal(read({ access_token: 'a', scope: 'x'.repeat(201) }).scope, null)
})

t.test('an access token is visible ASCII of at most 16 KiB', async (t) => {
  t.equal(
    read({ access_token: 'a'.repeat(MAX_TOKEN_LENGTH_BYTES) }).accessToken.reveal().length,
    MAX_TOKEN_LENGTH_BYTES,
  )
  for (const access_token of ['', 7, null, {}, undefined]) {
    const error = await failing({ access_token })
    t.match(error, { kind: 'transient', status: 200, maybeApplied: true, publicMessage: null })
  }
  t.match(await failing(null, 204), { kind: 'transient', status: 204, maybeApplied: true })
})

t.test('an unusable access token is named, and no refresh token counts as lost', async (t) => {
  const unusable: [string, RegExp][] = [
    ['a'.repeat(MAX_TOKEN_LENGTH_BYTES + 1), /access token is too large: more than 16384 bytes/],
    ['ä'.repeat(MAX_TOKEN_LENGTH_BYTES * 2), /access token is too large/],
    ['a\nb', /access token has characters that no header can carry/],
    ['a\u0000', /access token has characters/],
    ['ä', /access token has characters/],
  ]
  for (const [access_token, message] of unusable) {
    for (const refresh_token of [undefined, null, '', 'same']) {
      const error = await failing({ access_token, refresh_token, expires_in: 60 })
      t.match(error, { kind: 'transient', status: 200, maybeApplied: false, message })
      t.match(error.publicMessage, /^[\x20-\x21\x23-\x5b\x5d-\x7e]*Tell the host of this broker\.$/)
      t.equal(error.refreshToken?.reveal(), refresh_token === 'same' ? 'same' : undefined)
    }
    const lost = await failing({ access_token, refresh_token: 'a\nb' })
    t.match(lost, { maybeApplied: true, message }, 'unless a new one came and can’t be used')
  }
})

t.test('a refresh token is any text without control characters, of at most 16 KiB', async (t) => {
  const longest = 'ä'.repeat(MAX_TOKEN_LENGTH_BYTES / 2)
  for (const refresh_token of ['r', 'ä 字 🗺', longest]) {
    const json = { access_token: 'a', refresh_token }
    t.equal(read(json).refreshToken?.reveal(), refresh_token)
    t.notOk(losesRefreshToken(answer(json)))
  }
})

t.test('without a refresh token, the one that was sent stays valid', async (t) => {
  for (const json of [{}, { refresh_token: null }, { refresh_token: '' }]) {
    const complete = { access_token: 'a', ...json }
    t.equal(read(complete).refreshToken, null)
    t.notOk(losesRefreshToken(answer(complete)), 'no refresh token was lost')
  }
})

t.test('an unusable refresh token is reported, and the access token is kept', async (t) => {
  const unusable = [
    7,
    {},
    ['r'],
    true,
    'a\nb',
    'a\u007f',
    '\ud800',
    'ä'.repeat(MAX_TOKEN_LENGTH_BYTES / 2 + 1),
  ]
  for (const refresh_token of unusable) {
    const json = { access_token: 'a', refresh_token }
    t.equal(read(json).refreshToken, null)
    t.ok(losesRefreshToken(answer(json)))
  }
})

t.test('a refresh token without an access token is in the error', async (t) => {
  for (const access_token of [undefined, '', 'a\nb', 7]) {
    const error = await failing({ access_token, refresh_token: 'next' })
    t.match(error, { kind: 'transient', maybeApplied: false }, 'it is not lost')
    t.equal(error.refreshToken?.reveal(), 'next')
  }
  const contradictory = await failing({ error: 'invalid_grant', refresh_token: 'next' })
  t.match(contradictory, { kind: 'transient', maybeApplied: false })
  t.equal(contradictory.refreshToken?.reveal(), 'next')
})

t.test('a date in Retry-After is compared with the end of the call', async (t) => {
  const headers = new Headers({ 'retry-after': new Date(5_000_000).toUTCString() })
  const busy = { ...answer(null, 503), headers }
  const times = { ...call, now: 4_990_000 }
  const error = await failureOf(new Promise((resolve) => resolve(readTokens(busy, times))))
  t.equal(error.retryAfterMs, 10_000)
})

t.test('an OAuth error with a 2xx status is an error', async (t) => {
  t.match(await failing({ error: 'invalid_grant' }), { kind: 'refused', maybeApplied: false })
  t.match(await failing({ error: 'invalid_client' }), { kind: 'misconfigured' })
  const unknown = await failing({ error: 'some_fault' })
  t.match(unknown, { kind: 'transient', code: 'some_fault', maybeApplied: true })
  t.match(await failing({ message: 'no' }), { kind: 'transient', maybeApplied: true })
})
