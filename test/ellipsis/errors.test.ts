import t from 'tap'
import { toEllipsisError } from '../../server/ellipsis/errors.ts'

const NOW = Date.UTC(2026, 0, 1)

const answer = (status: number, json: Record<string, unknown> | null, retryAfter?: string) => ({
  status,
  json,
  isSafeMethod: false,
  headers: new Headers(retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
})

t.test('only the exact code invalid_grant is a refusal', async (t) => {
  for (const status of [200, 400, 401, 403, 404, 418]) {
    const error = toEllipsisError(answer(status, { error: 'invalid_grant' }), NOW)
    t.match(error, { kind: 'refused', status, code: 'invalid_grant', maybeApplied: false })
  }
  const framework = { statusCode: 400, error: 'Bad Request', message: 'invalid_grant' }
  t.equal(toEllipsisError(answer(400, framework), NOW).kind, 'refused')
  const otherErrors = [
    { message: 'The refresh token is invalid or has expired' },
    { message: 'Not invalid_grant at all' },
    { error: 'Invalid_Grant' },
    { error: ['invalid_grant'] },
    { error: { code: 'invalid_grant' } },
    { error: 'invalid_request', message: 'invalid_grant' },
    { error_description: 'invalid_grant' },
    {},
    null,
  ]
  for (const json of otherErrors) {
    for (const status of [400, 401, 403]) {
      const error = toEllipsisError(answer(status, json), NOW)
      t.match(error, { kind: 'transient', maybeApplied: false }, JSON.stringify(json))
    }
  }
})

t.test('invalid_client and unauthorized_client mean a misconfigured client', async (t) => {
  for (const error of ['invalid_client', 'unauthorized_client']) {
    for (const status of [200, 400, 401, 403]) {
      const facts = { kind: 'misconfigured', code: error, maybeApplied: false }
      t.match(toEllipsisError(answer(status, { error }), NOW), facts)
    }
  }
})

t.test('429, 5xx and redirects are transient, whatever their body says', async (t) => {
  for (const error of ['invalid_grant', 'invalid_client', 'slow_down']) {
    for (const status of [301, 302, 307, 308, 429]) {
      t.match(toEllipsisError(answer(status, { error }), NOW), {
        kind: 'transient',
        maybeApplied: false,
      })
    }
    for (const status of [303, 500, 502, 503, 504, 599, 999]) {
      t.match(toEllipsisError(answer(status, { error }), NOW), {
        kind: 'transient',
        maybeApplied: true,
      })
    }
  }
})

t.test('an unknown error code is reported if it has the form of one', async (t) => {
  const unknown = toEllipsisError(answer(400, { error: 'refresh_token_expired' }), NOW)
  t.match(unknown, { kind: 'transient', code: 'refresh_token_expired' })
  t.match(unknown.message, 'refresh_token_expired, status 400')
  for (const error of [
    'oops',
    'a',
    'a_\u001b[2J',
    'Some_Code',
    `a${'_bc'.repeat(30)}`,
    'x_1',
    'a b',
    7,
  ]) {
    const { code, message } = toEllipsisError(answer(400, { error }), NOW)
    t.equal(code, null)
    t.equal(message, 'Ellipsis Drive answered with an error (status 400)')
  }
})

t.test('Retry-After in seconds or as a date', async (t) => {
  const hour = 3_600_000
  const cases: [string | undefined, number | null][] = [
    ['0', 0],
    ['7', 7000],
    ['3600', hour],
    ['99999', hour],
    ['9'.repeat(400), hour],
    ['Thu, 01 Jan 2026 00:00:09 GMT', 9000],
    ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
    ['Fri, 01 Jan 2027 00:00:00 GMT', hour],
    ['in a while GMT', null],
    ['-5', null],
    ['1.5', null],
    ['soon', null],
    ['', null],
    [undefined, null],
  ]
  for (const [header, milliseconds] of cases) {
    for (const status of [429, 503]) {
      t.equal(
        toEllipsisError(answer(status, null, header), NOW).retryAfterMs,
        milliseconds,
        `${header}`,
      )
    }
  }
})
