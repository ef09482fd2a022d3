import { inspect } from 'node:util'
import fc from 'fast-check'
import { pino } from 'pino'
import t from 'tap'
import { EllipsisError } from '../../server/ellipsis/errors.ts'
import type { EllipsisClient } from '../../server/ellipsis/client.ts'
import { Secret } from '../../server/secret.ts'
import { size } from '../size.ts'
import { CLIENT_SECRET, REFRESH_TOKEN, always, clientOf, clientOfBytes } from './upstream.ts'

const RUNS = size(150, 1000)
const SENT = [REFRESH_TOKEN, CLIENT_SECRET, 'Code-1-sent', 'Verifier-1-sent', 'Access-1-sent']
const RECEIVED = ['Access-2-received', 'Refresh-2-received']
const SECRETS = [...SENT, ...RECEIVED]

/** The value in every form that the program may print. */
function printed(value: unknown): string {
  let logged = ''
  pino({}, { write: (line: string) => void (logged += line) }).error({ err: value }, 'it failed')
  const shown = inspect(value, { depth: Infinity, showHidden: true })
  return [logged, shown, JSON.stringify(value), String(value)].join('\n')
}

/** Makes all three calls, and returns their results or errors. */
const callAll = (client: EllipsisClient): Promise<unknown[]> =>
  Promise.all(
    [
      client.refresh(new Secret(REFRESH_TOKEN)),
      client.exchangeCode({
        code: new Secret('Code-1-sent'),
        verifier: new Secret('Verifier-1-sent'),
      }),
      client.account(new Secret('Access-1-sent')),
    ].map((call) => call.catch((error: unknown) => error)),
  )

/** Throws unless all results are values or EllipsisErrors that print no secret. */
function checkResults(results: unknown[]): void {
  for (const value of results) {
    if (value instanceof Error && !(value instanceof EllipsisError)) throw value
    // The account's label comes from upstream, and is not a secret.
    const isAccount = typeof value === 'object' && value !== null && 'username' in value
    const leaked = isAccount ? [] : SECRETS.filter((secret) => printed(value).includes(secret))
    if (leaked.length > 0) throw new Error(`${leaked.join()} in ${printed(value)}`)
  }
}

const secret = fc.constantFrom(...SECRETS)
const text = fc.oneof(fc.string({ unit: 'binary' }), secret, fc.constantFrom('', 'a\nb'))
const code = fc.constantFrom('invalid_grant', 'invalid_client', 'invalid_request', 'slow_down')
const life = fc.oneof(fc.integer(), fc.double(), fc.string(), fc.constant('600'))

/** Bodies of token endpoints, similar ones, and arbitrary ones. */
const body = fc.oneof(
  fc
    .record(
      {
        access_token: fc.oneof(text, fc.jsonValue()),
        refresh_token: fc.oneof(text, fc.jsonValue()),
        expires_in: fc.oneof(life, fc.jsonValue()),
        error: fc.oneof(code, text, fc.jsonValue()),
        error_description: text,
        message: fc.oneof(code, text, fc.jsonValue()),
        id: fc.jsonValue(),
        username: fc.string(),
      },
      { requiredKeys: [] },
    )
    .map((value) => JSON.stringify(value)),
  fc.json(),
  text,
  secret.map((value) => `{"access_token":"${value}`),
  secret.map((value) => `<!doctype html><p>${value}</p>`),
)

const status = fc.oneof(
  fc.constantFrom(200, 200, 200, 201, 204, 302, 400, 400, 401, 403, 404, 429, 500, 503),
  fc.integer({ min: 200, max: 599 }),
)

/** Header values that Node lets a server send. */
const retryAfter = fc.oneof(fc.integer().map(String), secret, fc.stringMatching(/^[ -~]*$/))

t.test('no secret leaks, whatever upstream answers', async (t) => {
  let respond = always(200, '')
  const client = await clientOf(t, (request, response) => respond(request, response))
  const property = fc.asyncProperty(status, body, retryAfter, async (code, body, wait) => {
    respond = always(code, code === 204 || code === 304 ? '' : body, { 'retry-after': wait })
    checkResults(await callAll(client))
  })
  await fc.assert(property, { numRuns: RUNS })
  t.pass(`${RUNS} answers`)
})

t.test('no secret leaks, whatever bytes upstream sends', async (t) => {
  const bytes = [
    ...RECEIVED.map((token) => `HTTP/1.1 200 OK\r\n${token}\r\n\r\n`),
    `HTTP/1.1 200 OK\r\nno header\r\n\r\n{"access_token":"Access-2-received"}`,
    `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{"access_token":"Access-2-received"}`,
    `HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"access_token":"Access-2-received"}`,
    `HTTP/1.1 302 Found\r\nlocation: /?token=Access-2-received\r\ncontent-length: 0\r\n\r\n`,
    `Access-2-received`,
  ]
  for (const sent of bytes) checkResults(await callAll(await clientOfBytes(t, sent)))
  t.pass(`${bytes.length} answers`)
})

t.test('no secret leaks if a token is not valid in a header', async (t) => {
  const client = await clientOf(t, always(200, {}))
  const ended: unknown = await client
    .account(new Secret('Access-1-sent\nand more'))
    .catch((error: unknown) => error)
  t.ok(ended instanceof EllipsisError)
  checkResults([ended])
})

t.test('no secret leaks if the errors of fetch contain the request', async (t) => {
  const client = await clientOf(t, always(200, {}), {
    fetch: (url, init) => {
      const request = JSON.stringify([url, init])
      const cause = Object.assign(new Error(request), { code: REFRESH_TOKEN, data: request })
      return Promise.reject(new TypeError(request, { cause }))
    },
  })
  const ended = await callAll(client)
  t.equal(ended.filter((error) => error instanceof EllipsisError).length, 3)
  checkResults(ended)
})
