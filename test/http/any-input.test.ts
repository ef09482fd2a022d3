/**
 * Random input to the endpoints of apps and to the callback: never a 500 or a stack trace, and a rejected
 * request changes no row. For a longer run: `ANY_INPUT_RUNS=100000 npx tap test/http/any-input.test.ts`.
 */
import fc from 'fast-check'
import t from 'tap'
import { createProver } from '../oauth/dpop/prover.ts'
import { addApp, addAppWithSecret, authorizationRequest, buildBroker, connect } from '../helper.ts'
import { watchCommits } from '../commits.ts'
import { size } from '../size.ts'

const RUNS = Number(process.env.ANY_INPUT_RUNS ?? size(300, 5000))

t.test('any input', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const plain = await addApp(broker, { tokens: 'ellipsis' })
  const fragment = await addApp(broker, { deliver: 'fragment' })
  const device = await addApp(broker, { device: true, redirectUris: [], dpop: 'required' })
  const { app: server, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const { brokerToken } = await connect(broker, app)
  const { parameters, verifier } = authorizationRequest(app)

  /** Values that are valid somewhere, so that inputs pass the first check. */
  const validValues = [
    ...Object.values(parameters),
    ...[
      verifier,
      brokerToken,
      app.id,
      plain.id,
      fragment.id,
      server.id,
      device.id,
      clientSecret?.reveal() ?? '',
    ],
    ...['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:token-exchange'],
    ...['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:access_token'],
    ...['urn:ietf:params:oauth:grant-type:device_code', 'BCDF-GHJK'],
    ...['true', 'false', '60', 'projects', 'access_denied', 'allow', 'refuse', 'yes'],
  ]
  const names = [
    ...Object.keys(parameters),
    ...['grant_type', 'code', 'code_verifier', 'redirect_uri', 'refresh_token', 'subject_token'],
    ...['subject_token_type', 'requested_token_type', 'min_ttl', 'force', 'scope', 'client_secret'],
    ...[
      'token',
      'token_type_hint',
      'error',
      'decision',
      '_csrf',
      'plain',
      'connection',
      'response_mode',
      'user_code',
      'device_code',
      'dpop_jkt',
    ],
  ]

  const value = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...validValues) },
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.constantFrom(...validValues).map((text) => `${text}x`),
    fc.constantFrom('\0', '\r\nx: y', '../../etc/passwd', "' or 1=1 --", '%', '%zz', '{{7*7}}', ''),
  )
  const fields = fc.array(
    fc.tuple(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...names) }, fc.string()), value),
    { maxLength: 12 },
  )
  const form = fields.map((pairs) => new URLSearchParams(pairs.map(wellFormed)).toString())
  const json = fc.oneof(
    fc.json(),
    fc
      .record({ min_ttl: fc.jsonValue(), force: fc.jsonValue() })
      .map((body) => JSON.stringify(body)),
    fc.string(),
  )
  const bearer = value.map((text) => `Bearer ${text}`)
  const basic = fc
    .tuple(value, value)
    .map((pair) => `Basic ${Buffer.from(pair.join(':')).toString('base64')}`)
  const authorization = fc.option(
    fc.oneof(
      fc.constantFrom(`Bearer ${brokerToken}`, `DPoP ${brokerToken}`),
      bearer,
      basic,
      fc.string(),
    ),
  )
  const type = fc.oneof(
    { weight: 5, arbitrary: fc.constant('application/x-www-form-urlencoded') },
    fc.constantFrom(
      'application/json',
      'text/plain',
      'multipart/form-data',
      '',
      'a/b; charset=utf-8',
    ),
  )
  const prover = await createProver(broker)
  const proof = await prover.prove('/oauth/token')
  /** DPoP proofs: a valid one, which works once at most, or an invalid one. */
  const dpop = fc.option(
    fc.oneof(
      fc.constantFrom(proof, proof.slice(0, -3), `${proof}x`, proof.replace('.', '..')),
      fc.string(),
    ),
    { freq: 2 },
  )
  const cookie = fc.option(fc.string({ maxLength: 200 }))
  /** Almost valid: the parameters of a grant, some of them wrong or missing. */
  const grant = fc
    .record(
      Object.fromEntries(
        [
          'grant_type',
          'subject_token',
          'subject_token_type',
          'refresh_token',
          'token',
          'client_id',
        ].map((name) => [
          name,
          fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...validValues) }, value),
        ]),
      ),
      { requiredKeys: ['grant_type'] },
    )
    .map((pairs) => new URLSearchParams(Object.entries(pairs).map(wellFormed)).toString())
  const FORM = 'application/x-www-form-urlencoded'
  const toForms = fc.record({
    path: fc.constantFrom(
      ...['/oauth/token', '/oauth/token', '/oauth/revoke', '/oauth/authorize', '/device'],
      ...['/oauth/introspect', '/oauth/device_authorization'],
    ),
    body: fc.oneof({ weight: 3, arbitrary: form }, { weight: 3, arbitrary: grant }, json),
    type: fc.oneof({ weight: 6, arbitrary: fc.constant(FORM) }, type),
  })
  const toExchange = fc.record({
    path: fc.constant('/exchange'),
    body: fc.oneof({ weight: 5, arbitrary: json }, form),
    type: fc.oneof({ weight: 6, arbitrary: fc.constant('application/json') }, type),
  })
  const posted = fc
    .tuple(fc.oneof({ weight: 2, arbitrary: toForms }, toExchange), authorization, cookie, dpop)
    .map(([sent, authorization, cookie, dpop]) => ({
      ...sent,
      ...{ authorization, cookie, dpop, method: 'POST', query: '' },
    }))
  const opened = fc.record({
    method: fc.constantFrom('GET', 'HEAD'),
    path: fc.oneof(
      fc.constantFrom(
        '/oauth/authorize',
        '/callback',
        '/device',
        '/metrics',
        '/.well-known/jwks.json',
      ),
      fc.constantFrom(app.id, fragment.id, 'x').map((id) => `/connect/${id}`),
      fc.webPath(),
    ),
    query: form,
    body: fc.constant(undefined),
    type: fc.constant(''),
    authorization,
    cookie,
    dpop,
  })

  /** Removes lone surrogates, which URLs and headers cannot carry. */
  function wellFormed([name, text = '']: [string, string | undefined]): [string, string] {
    return [name.toWellFormed(), text.toWellFormed()]
  }

  /** Limits a header value to what clients can send: Latin-1 without control characters. */
  const toHeaderValue = (text: string): string => text.replace(/[^\x20-\x7e\xa0-\xff]/g, '?').trim()

  t.test(`${RUNS} inputs`, async (t) => {
    const changed = watchCommits(t, broker.dataDir)
    const seen = new Map<number, number>()
    const property = fc.asyncProperty(
      fc.oneof({ weight: 2, arbitrary: posted }, opened),
      async (input) => {
        changed()
        const headers = new Headers()
        if (input.authorization !== null)
          headers.set('authorization', toHeaderValue(input.authorization))
        if (input.dpop !== null) headers.set('dpop', toHeaderValue(input.dpop))
        if (input.cookie !== null) headers.set('cookie', toHeaderValue(input.cookie))
        if (input.type !== '') headers.set('content-type', input.type)
        const query = input.query === '' ? '' : `?${input.query}`
        const answer = await fetch(broker.url + input.path + query, {
          method: input.method,
          redirect: 'manual',
          headers,
          ...(input.body !== undefined && { body: Buffer.from(input.body) }),
        })
        const text = await answer.text()
        seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1)
        if (answer.status >= 500) throw new Error(`status ${answer.status}: ${text}`)
        if (/\n\s+at |node:internal|SQLITE|\.ts:\d+/.test(text)) throw new Error(`a trace: ${text}`)
        const location = answer.headers.get('location') ?? ''
        const isRejected = answer.status >= 400 || /[?&#]error=/.test(location)
        if (isRejected && changed())
          throw new Error(`rejected with ${answer.status}, but a row changed`)
      },
    )
    await fc.assert(property, { numRuns: RUNS })
    t.ok((seen.get(200) ?? 0) > 0, 'some requests succeeded')
    t.ok((seen.get(400) ?? 0) > 0, 'some were rejected')
    t.comment(Object.fromEntries(seen))
    const errors = broker.logged.filter(
      (line) => (JSON.parse(line) as { level: number }).level >= 50,
    )
    t.same(errors, [], 'no error is logged')
  })
})
