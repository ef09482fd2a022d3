import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { BrokerError } from '../../server/errors.ts'
import type { ErrorCode } from '../../server/errors.ts'
import { buildCache } from './cache-upstream.ts'

const MINUTE = 60_000

/** What a second request gets, some time after the first. */
const cases: {
  name: string
  answer: Record<string, string>
  /** Of both requests, and of the second only. */
  request?: Record<string, string>
  second?: Record<string, string>
  afterMs?: number
  expected: string
}[] = [
  { name: 'max-age', answer: { 'cache-control': 'max-age=60' }, expected: 'hit' },
  {
    name: 'max-age, later',
    answer: { 'cache-control': 'max-age=60' },
    afterMs: MINUTE,
    expected: 'miss',
  },
  {
    name: 'names of directives in upper case',
    answer: { 'cache-control': 'Max-Age=60' },
    expected: 'hit',
  },
  {
    name: 'No-Store in upper case',
    answer: { 'cache-control': 'max-age=60, No-Store' },
    expected: 'miss',
  },
  { name: 'no-store', answer: { 'cache-control': 'no-store, max-age=60' }, expected: 'miss' },
  {
    name: 'no-store and a validator',
    answer: { 'cache-control': 'no-store', etag: '"1"' },
    expected: 'miss',
  },
  {
    name: 'no-cache, with a validator',
    answer: { 'cache-control': 'no-cache, max-age=60', etag: '"1"' },
    expected: 'revalidated',
  },
  {
    name: 'no-cache without one',
    answer: { 'cache-control': 'no-cache, max-age=60' },
    expected: 'miss',
  },
  {
    name: 'no-cache of a field',
    answer: { 'cache-control': 'no-cache="x, y", max-age=60' },
    expected: 'miss',
  },
  {
    name: 'a directive within a quoted value',
    answer: { 'cache-control': 'x="no-store, y", max-age=60' },
    expected: 'hit',
  },
  {
    name: 'must-revalidate, fresh',
    answer: { 'cache-control': 'max-age=60, must-revalidate' },
    expected: 'hit',
  },
  {
    name: 'must-revalidate, stale',
    answer: { 'cache-control': 'max-age=60, must-revalidate', etag: '"1"' },
    afterMs: MINUTE,
    expected: 'revalidated',
  },
  {
    name: 'private: the cache is of one connection',
    answer: { 'cache-control': 'private, max-age=60' },
    expected: 'hit',
  },
  {
    name: 's-maxage is for shared caches',
    answer: { 'cache-control': 's-maxage=60' },
    expected: 'miss',
  },
  {
    name: 's-maxage does not shorten max-age',
    answer: { 'cache-control': 's-maxage=0, max-age=60' },
    expected: 'hit',
  },
  { name: 'max-age twice', answer: { 'cache-control': 'max-age=60, max-age=1' }, expected: 'miss' },
  {
    name: 'max-age that is no number',
    answer: { 'cache-control': 'max-age=6O' },
    expected: 'miss',
  },
  { name: 'max-age in quotes', answer: { 'cache-control': 'max-age="60"' }, expected: 'hit' },
  { name: 'Age counts', answer: { 'cache-control': 'max-age=60', age: '60' }, expected: 'miss' },
  { name: 'Age, below', answer: { 'cache-control': 'max-age=60', age: '30' }, expected: 'hit' },
  {
    name: 'Age, below, later',
    answer: { 'cache-control': 'max-age=60', age: '30' },
    afterMs: MINUTE / 2,
    expected: 'miss',
  },
  { name: 'Expires', answer: { expires: 'in a minute' }, expected: 'hit' },
  { name: 'Expires, later', answer: { expires: 'in a minute' }, afterMs: MINUTE, expected: 'miss' },
  { name: 'Expires: 0', answer: { expires: '0' }, expected: 'miss' },
  {
    name: 'max-age before Expires',
    answer: { 'cache-control': 'max-age=60', expires: '0' },
    expected: 'hit',
  },
  {
    name: 'Expires by a clock that is behind by an hour',
    answer: { expires: 'in a minute', skew: '-3600' },
    expected: 'hit',
  },
  {
    name: 'Expires by a clock that is ahead by an hour',
    answer: { expires: 'in a minute', skew: '3600' },
    afterMs: MINUTE,
    expected: 'miss',
  },
  {
    name: 'Pragma of an answer without Cache-Control',
    answer: { pragma: 'no-cache', expires: 'in a minute' },
    expected: 'miss',
  },
  { name: 'nothing: no guess', answer: {}, expected: 'miss' },
  {
    name: 'Last-Modified: no guess, but asked',
    answer: { 'last-modified': 'Thu, 01 Jan 2015 00:00:00 GMT' },
    expected: 'revalidated',
  },
  { name: 'ETag only', answer: { etag: 'W/"1"' }, expected: 'revalidated' },
  {
    name: 'immutable alone is no lifetime',
    answer: { 'cache-control': 'immutable' },
    expected: 'miss',
  },
  {
    name: 'Vary, the same',
    answer: { 'cache-control': 'max-age=60', vary: 'Accept-Language' },
    request: { 'accept-language': 'nl' },
    expected: 'hit',
  },
  {
    name: 'Vary, another',
    answer: { 'cache-control': 'max-age=60', vary: 'Accept-Language' },
    request: { 'accept-language': 'nl' },
    second: { 'accept-language': 'de' },
    expected: 'miss',
  },
  {
    name: 'Vary, missing',
    answer: { 'cache-control': 'max-age=60', vary: 'accept' },
    second: { accept: 'image/webp' },
    expected: 'miss',
  },
  { name: 'Vary: *', answer: { 'cache-control': 'max-age=60', vary: '*' }, expected: 'miss' },
  {
    name: 'Vary of what is never sent',
    answer: { 'cache-control': 'max-age=60', vary: 'Origin' },
    second: { origin: 'https://a.example' },
    expected: 'hit',
  },
  {
    name: 'request no-cache',
    answer: { 'cache-control': 'max-age=60', etag: '"1"' },
    second: { 'cache-control': 'no-cache' },
    expected: 'revalidated',
  },
  {
    name: 'request Pragma',
    answer: { 'cache-control': 'max-age=60', etag: '"1"' },
    second: { pragma: 'no-cache' },
    expected: 'revalidated',
  },
  {
    name: 'request max-age',
    answer: { 'cache-control': 'max-age=600', etag: '"1"' },
    second: { 'cache-control': 'max-age=30' },
    afterMs: MINUTE,
    expected: 'revalidated',
  },
  {
    name: 'request min-fresh',
    answer: { 'cache-control': 'max-age=60', etag: '"1"' },
    second: { 'cache-control': 'min-fresh=90' },
    expected: 'revalidated',
  },
  {
    name: 'request no-store',
    answer: { 'cache-control': 'max-age=60' },
    second: { 'cache-control': 'no-store' },
    expected: 'bypass',
  },
  {
    name: 'first request no-store',
    answer: { 'cache-control': 'max-age=60' },
    request: { 'cache-control': 'no-store' },
    second: { 'cache-control': '' },
    expected: 'miss',
  },
  {
    name: 'max-stale makes no no-cache answer fresh',
    answer: { 'cache-control': 'no-cache', etag: '"1"' },
    second: { 'cache-control': 'max-stale' },
    expected: 'revalidated',
  },
  {
    name: 'stale-while-revalidate is not used',
    answer: { 'cache-control': 'max-age=1, stale-while-revalidate=600', etag: '"1"' },
    afterMs: MINUTE,
    expected: 'revalidated',
  },
]

t.test('what RFC 9111 says of a second request', async (t) => {
  let [name, etag] = ['', '']
  const cache = await buildCache(t, (request, response) => {
    const { skew = '0', ...answer } = cases.find((one) => one.name === name)?.answer ?? {}
    const now = cache.clock.now() + Number(skew) * 1000
    const isSame = etag !== '' && request.headers['if-none-match'] === etag
    const since = request.headers['if-modified-since']
    response.statusCode = isSame || since !== undefined ? 304 : 200
    response.setHeader('date', new Date(now).toUTCString())
    for (const [header, value] of Object.entries(answer)) {
      const isDate = value === 'in a minute'
      response.setHeader(header, isDate ? new Date(now + MINUTE).toUTCString() : value)
    }
    response.end(response.statusCode === 304 ? undefined : `body of ${name}`)
  })
  for (const [
    at,
    { request = {}, second = {}, afterMs = 0, expected, ...one },
  ] of cases.entries()) {
    ;[name, etag] = [one.name, one.answer.etag ?? '']
    const path = `/case/${at}`
    await cache.get(path, request)
    cache.clock.advance(afterMs)
    const { cached, text, status } = await cache.get(path, { ...request, ...second })
    t.strictSame(
      { cached, text, status },
      { cached: expected, text: `body of ${name}`, status: 200 },
      name,
    )
  }
})

t.test('Age says how old an answer is', async (t) => {
  const { get, clock } = await buildCache(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=600').setHeader('age', '5').end('tile')
  })
  await get('/tile')
  clock.advance(MINUTE)
  const { cached, headers } = await get('/tile')
  t.equal(cached, 'hit')
  t.match(String(headers.age), /^6[5-7]$/)
  t.equal(headers['content-length'], '4')
})

t.test('each variant is stored', async (t) => {
  const { get, calls } = await buildCache(t, (request, response) => {
    response.setHeader('cache-control', 'max-age=600').setHeader('vary', 'accept')
    response.end(request.headers.accept)
  })
  const ask = async (accept: string) => {
    const { cached, text } = await get('/tile', { accept })
    return `${cached} ${text}`
  }
  t.equal(await ask('image/png'), 'miss image/png')
  t.equal(await ask('image/webp'), 'miss image/webp')
  t.equal(await ask('image/avif'), 'miss image/avif')
  t.equal(await ask('image/webp'), 'hit image/webp')
  t.equal(await ask('image/png'), 'hit image/png')
  t.equal(await ask('image/avif'), 'hit image/avif')
  t.equal(calls.length, 3)
})

t.test('a client’s conditions, HEAD and ranges are answered from a stored answer', async (t) => {
  const modified = 'Thu, 01 Jan 2026 00:00:00 GMT'
  const { get, calls, counts } = await buildCache(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=600').setHeader('etag', '"v1"')
    response.setHeader('last-modified', modified).setHeader('content-type', 'text/plain')
    response.end('0123456789')
  })
  t.match(
    await get('/file', { range: 'bytes=1-2' }),
    { cached: 'bypass', status: 200 },
    'not stored yet',
  )
  await get('/file')
  const conditional = await get('/file', { 'if-none-match': '"v0", W/"v1"' })
  t.match(conditional, { status: 304, cached: 'hit', text: '', headers: { etag: '"v1"' } })
  t.equal(conditional.headers['content-length'], undefined)
  t.match(await get('/file', { 'if-none-match': '*' }), { status: 304 })
  t.match(await get('/file', { 'if-none-match': '"v0"' }), { status: 200, text: '0123456789' })
  t.match(await get('/file', { 'if-none-match': '"v0"', 'if-modified-since': modified }), {
    status: 200,
  })
  t.match(await get('/file', { 'if-modified-since': modified }), { status: 304 })
  t.match(await get('/file', { 'if-modified-since': 'Wed, 31 Dec 2025 00:00:00 GMT' }), {
    status: 200,
  })

  const head = await get('/file', {}, { method: 'HEAD' })
  t.match(head, { status: 200, cached: 'hit', text: '', headers: { 'content-length': '10' } })

  const range = (value: string, more = {}) => get('/file', { range: value, ...more })
  t.match(await range('bytes=2-4'), {
    status: 206,
    text: '234',
    headers: { 'content-range': 'bytes 2-4/10', 'content-length': '3', etag: '"v1"' },
  })
  t.match(await range('bytes=7-'), { status: 206, text: '789' })
  t.match(await range('bytes=-2'), { status: 206, text: '89' })
  t.match(await range('bytes=-99'), { status: 206, text: '0123456789' })
  t.match(await range('bytes=8-99'), { status: 206, text: '89' })
  t.match(await range('bytes=10-'), { status: 416, headers: { 'content-range': 'bytes */10' } })
  t.match(await range('bytes=-0'), { status: 416 })
  t.match(await range('bytes=2-4', { 'if-range': '"v1"' }), { status: 206, text: '234' })
  t.match(await range('bytes=2-4', { 'if-range': '"v0"' }), { status: 200, text: '0123456789' })
  t.match(await range('bytes=2-4', { 'if-range': modified }), { status: 206 })
  t.match(await range('bytes=2-4', { 'if-range': 'W/"v1"' }), { status: 200 })
  t.equal(calls.length, 2)
  for (const odd of ['bytes=1-2,4-5', 'items=1-2', 'bytes=4-2', 'bytes=-']) {
    t.match(await range(odd), { cached: 'bypass' }, odd)
  }
  t.match(await get('/file', { 'if-match': '"v0"' }), { cached: 'bypass' })
  t.equal(calls.length, 7)
  t.equal(counts.hit, 18)
})

t.test('a revalidated answer is fresh again, with the headers of the 304', async (t) => {
  const { get, calls, clock } = await buildCache(t, (request, response) => {
    const isKnown = request.headers['if-none-match'] === '"v1"'
    response.statusCode = isKnown ? 304 : 200
    response.setHeader('cache-control', 'max-age=60').setHeader('etag', '"v1"')
    response.setHeader('x-count', String(calls.length))
    response.end(isKnown ? undefined : 'tile')
  })
  await get('/tile')
  clock.advance(MINUTE)
  const again = await get('/tile', { 'if-none-match': '"of the client"' })
  t.match(again, { cached: 'revalidated', status: 200, text: 'tile', headers: { 'x-count': '2' } })
  t.equal(calls[1]?.headers['if-none-match'], '"v1"')
  t.match(await get('/tile'), {
    cached: 'hit',
    text: 'tile',
    headers: { 'x-count': '2', age: '0' },
  })
  clock.advance(MINUTE)
  t.match(await get('/tile', { 'if-none-match': '"v1"' }), { cached: 'revalidated', status: 304 })
  t.equal(calls.length, 3)
})

t.test('what changed replaces the stored answer; what is gone removes it', async (t) => {
  let [version, status] = [1, 200]
  const { get, clock } = await buildCache(t, (request, response) => {
    const etag = `"${version}"`
    response.statusCode = request.headers['if-none-match'] === etag ? 304 : status
    response.setHeader('cache-control', status === 200 ? 'max-age=60' : 'no-store')
    response.setHeader('etag', etag).end(response.statusCode === 304 ? undefined : `v${version}`)
  })
  await get('/tile')
  version = 2
  t.match(await get('/tile'), { cached: 'hit', text: 'v1' })
  clock.advance(MINUTE)
  t.match(await get('/tile'), { cached: 'miss', text: 'v2' })
  t.match(await get('/tile'), { cached: 'hit', text: 'v2' })
  clock.advance(MINUTE)
  ;[version, status] = [3, 429]
  t.match(await get('/tile'), { cached: 'miss', status: 429 })
  ;[version, status] = [2, 200]
  t.match(await get('/tile'), { cached: 'revalidated', text: 'v2' }, 'a rate limit removes nothing')
  clock.advance(MINUTE)
  ;[version, status] = [3, 403]
  t.match(await get('/tile'), { cached: 'miss', status: 403 })
  ;[version, status] = [2, 200]
  t.match(await get('/tile'), { cached: 'miss', text: 'v2' }, 'it is not revalidated')
})

t.test('after a change, the URL is asked for again', async (t) => {
  const { get } = await buildCache(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=60').end('x')
  })
  for (const method of ['PUT', 'POST', 'PATCH', 'DELETE']) {
    await get('/layer?x=1')
    t.match(await get('/layer?x=1'), { cached: 'hit' })
    await get('/layer?x=1', {}, { method })
    t.match(await get('/layer?x=1'), { cached: 'miss' }, method)
  }
})

t.test(
  'stale-if-error: a failure of Ellipsis Drive is bridged only if the answer allows it',
  async (t) => {
    let isDown = false
    let control = ''
    let failure = 503
    const { get, clock } = await buildCache(t, (_request, response) => {
      response.statusCode = isDown ? failure : 200
      response
        .setHeader('cache-control', control)
        .setHeader('etag', '"1"')
        .end(isDown ? 'down' : 'tile')
    })
    for (const [path, allowed, expected] of [
      ['/a', 'max-age=60, stale-if-error=600', 'tile'],
      ['/b', 'max-age=60', 'down'],
      ['/c', 'max-age=60, stale-if-error=600, must-revalidate', 'down'],
      ['/d', 'max-age=60, stale-if-error=30', 'down'],
      ['/e', 'no-cache, stale-if-error=600', 'down'],
    ] as const) {
      ;[isDown, control] = [false, allowed]
      await get(path)
      clock.advance(2 * MINUTE)
      isDown = true
      t.match(await get(path), { text: expected, status: expected === 'tile' ? 200 : 503 }, allowed)
    }
    for (failure of [500, 502, 503, 504, 501]) {
      const status = failure === 501 ? 501 : 200
      t.match(await get('/a'), { status }, `a failure with status ${failure}`)
    }
  },
)

t.test('stale-if-error: bridges an outage, and no refusal by the broker', async (t) => {
  const { get, cache, clock } = await buildCache(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=60, stale-if-error=6000')
    response.setHeader('etag', '"1"').end('tile')
  })
  await get('/tile')
  clock.advance(2 * MINUTE)
  const fail = (code: ErrorCode) =>
    cache.fetch(
      'con_a',
      {
        ...{ method: 'GET', path: { segments: [], path: '/tile', query: '' } },
        ...{ headers: {}, body: null, signal: new AbortController().signal },
      },
      async () => {
        throw new BrokerError(code)
      },
    )
  for (const code of [
    'token_refused',
    'insufficient_scope',
    'needs_reconnect',
    'slow_down',
  ] as const)
    await t.rejects(fail(code), { code })
  const { status, cached, body } = await fail('temporarily_unavailable')
  t.match({ status, cached }, { status: 200, cached: 'hit' })
  t.equal((await buffer(body ?? process.stdin)).toString(), 'tile')
})

t.test(
  'a 304 for another version than the stored one: the whole answer is requested',
  async (t) => {
    let version = '1'
    const { get, calls, clock } = await buildCache(t, (request, response) => {
      response.setHeader('cache-control', 'max-age=60').setHeader('etag', `"${version}"`)
      if (request.headers['if-none-match'] === undefined) response.end(`tile ${version}`)
      else response.writeHead(304).end()
    })
    await get('/tile')
    clock.advance(2 * MINUTE)
    version = '2'
    t.match(await get('/tile'), { cached: 'miss', text: 'tile 2' })
    t.equal(calls.length, 3)
    t.match(await get('/tile'), { cached: 'hit', text: 'tile 2' })
  },
)
