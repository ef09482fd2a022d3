import t from 'tap'
import { answerHeaders, mergeVary, privateCaching } from '../../server/drive/headers.ts'
import { buildDrive } from './upstream.ts'

t.test('headers of requests: an allow list', async (t) => {
  const { get, upstream } = await buildDrive(t, (_request, response) => response.end('ok'))
  const passing = {
    accept: 'image/png',
    'accept-language': 'nl',
    range: 'bytes=0-9',
    'if-none-match': '"a"',
    'if-modified-since': 'Mon, 01 Jan 2024 00:00:00 GMT',
    'if-range': '"a"',
  }
  const kept = {
    cookie: 'broker_session=secret',
    forwarded: 'for=192.0.2.1',
    'x-forwarded-for': '192.0.2.1',
    'x-forwarded-host': 'evil.example',
    'x-real-ip': '192.0.2.1',
    'proxy-authorization': 'Basic eDp5',
    'x-http-method-override': 'DELETE',
    te: 'trailers',
    dpop: 'proof',
    origin: 'https://map.example.com',
    referer: 'https://map.example.com/private',
    'x-anything': 'else',
  }
  await get('/path/1', { headers: { ...passing, ...kept } })
  const { headers } = upstream.requests[0] ?? { headers: {} }
  t.match(headers, passing)
  t.strictSame(
    Object.keys(kept).filter((name) => name in headers),
    [],
  )
  t.match(headers, { host: new URL(upstream.apiUrl).host, 'user-agent': 'ellipsis-broker' })
})

t.test('headers of answers: an allow list, and the broker’s own', async (t) => {
  const { get } = await buildDrive(t, (_request, response) => {
    response.writeHead(200, {
      'content-type': 'image/svg+xml',
      'content-language': 'nl',
      'cache-control': 'public, max-age=60',
      'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT',
      'accept-ranges': 'bytes',
      vary: 'Accept',
      'retry-after': '3',
      'set-cookie': 'session=1',
      'content-security-policy': "default-src *; script-src 'unsafe-inline'",
      'content-location': 'https://upstream.example/?token=x',
      'clear-site-data': '"*"',
      'service-worker-allowed': '/',
      'strict-transport-security': 'max-age=1',
      'access-control-allow-origin': '*',
      'access-control-allow-credentials': 'true',
      link: '<https://evil.example>; rel=preload',
      refresh: '0; url=https://evil.example',
      'www-authenticate': 'Basic',
      'x-powered-by': 'Express',
      'ellipsis-broker-error': 'invalid_token',
    })
    response.end('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
  })
  const { headers } = await get('/path/1', { headers: { origin: 'https://map.example.com' } })
  t.match(Object.fromEntries(headers), {
    'content-type': 'image/svg+xml',
    'content-language': 'nl',
    'cache-control': 'private, max-age=60',
    'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT',
    'accept-ranges': 'bytes',
    'retry-after': '3',
    vary: 'Origin, Authorization, Cookie, X-Client-Id, Accept',
    'x-content-type-options': 'nosniff',
    'content-security-policy': /^default-src 'none'; sandbox;/,
    'cross-origin-resource-policy': 'same-origin',
    'access-control-allow-origin': 'https://map.example.com',
    'access-control-expose-headers': /etag.*content-range/,
  })
  for (const name of [
    ...['set-cookie', 'content-location', 'clear-site-data', 'service-worker-allowed', 'link'],
    ...['refresh', 'www-authenticate', 'x-powered-by', 'strict-transport-security'],
    ...['access-control-allow-credentials', 'ellipsis-broker-error'],
  ]) {
    t.equal(headers.get(name), null, name)
  }
})

t.test('CORS: a preflight for each method, for origins of apps only', async (t) => {
  const { broker } = await buildDrive(t, (_request, response) => response.end())
  const preflight = (method: string, origin: string) =>
    fetch(`${broker.url}/drive/path/1`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': method },
    })
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    const answer = await preflight(method, 'https://map.example.com')
    t.equal(answer.status, 204, method)
    t.equal(answer.headers.get('access-control-allow-methods'), method)
    t.match(answer.headers.get('access-control-allow-headers'), /authorization.*range/)
  }
  t.equal((await preflight('GET', 'https://evil.example')).status, 403)
  t.equal((await preflight('TRACE', 'https://map.example.com')).status, 405)
})

t.test('a header that HTTP can’t carry is left out', async (t) => {
  for (const value of ['a\nb', 'a\rb', 'a\0b', 'a\x7fb', '地図', ['a', 'b\n']])
    t.strictSame(answerHeaders({ etag: '"a"', 'content-disposition': value }), { etag: '"a"' })
  const values = { etag: '"é\t~"', vary: ['a', 'b'] }
  t.strictSame(answerHeaders(values), values)
})

t.test('privateCaching', async (t) => {
  t.equal(privateCaching('public, max-age=60'), 'private, max-age=60')
  t.equal(privateCaching('max-age=1,S-MaxAge=60'), 'private, max-age=1')
  t.equal(privateCaching('no-store'), 'private, no-store')
  t.equal(privateCaching(undefined), 'private')
})

t.test('mergeVary', async (t) => {
  t.equal(mergeVary('Origin', 'origin, Accept', undefined), 'origin, Accept')
  t.equal(mergeVary('Origin', '*'), '*')
})
