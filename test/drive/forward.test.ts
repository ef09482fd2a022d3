import t from 'tap'
import { addApp, authorize, connect, exchange, scrape } from '../helper.ts'
import { createProver } from '../oauth/dpop/prover.ts'
import { buildDrive } from './upstream.ts'

t.test('passes a request on with the access token of the user', async (t) => {
  const { broker, upstream, get, brokerToken, app } = await buildDrive(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'image/png', etag: '"a"' }).end('tile')
  })
  const answer = await get('/path/1/raster/tile?style=x&token=secret')
  t.equal(answer.status, 200)
  t.equal(await answer.text(), 'tile')
  t.equal(answer.headers.get('etag'), '"a"')
  const { body } = await exchange(broker, brokerToken)
  const [request] = upstream.requests
  t.equal(request?.headers.authorization, `Bearer ${String(body.access_token)}`)
  t.equal(request?.url, '/v3/path/1/raster/tile?style=x')
  const metrics = await scrape(broker)
  t.match(metrics, 'ellipsis_broker_drive_requests_total{outcome="2xx"} 1')
  t.match(metrics, 'ellipsis_broker_drive_bytes_total{direction="download"} 4')
  t.match(metrics, 'ellipsis_broker_upstream_call_seconds_count{endpoint="drive",outcome="ok"} 1')
  await broker.services.usage.flush()
  const sums = await broker.services.store.sumUsage({ since: 0, appId: app.id })
  t.ok(sums.some(({ kind, outcome, count }) => kind === 'drive' && outcome === 'ok' && count === 1))
})

t.test('sends a body as it is, whatever its type', async (t) => {
  const { get, broker, bearer } = await buildDrive(t, async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    response.end(JSON.stringify({ method: request.method, body, headers: request.headers }))
  })
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    const init = { method, body: '{not json', headers: { 'content-type': 'application/json' } }
    const answer = (await (await get('/file', init)).json()) as object
    t.match(answer, { method, body: '{not json', headers: { 'content-length': '9' } }, method)
  }
  const untyped = await fetch(`${broker.url}/drive/file`, {
    method: 'POST',
    body: new Blob(['bytes']).stream(),
    duplex: 'half',
    headers: bearer,
  } as RequestInit)
  t.match(await untyped.json(), { body: 'bytes', headers: { 'transfer-encoding': 'chunked' } })
  t.match(await (await get('/file', { method: 'POST' })).json(), { method: 'POST', body: '' })
})

t.test('statuses, ranges and answers without a body', async (t) => {
  const { get } = await buildDrive(t, (request, response) => {
    const status = Number(request.url?.split('/').at(-1))
    const headers = { 'content-range': 'bytes 0-1/9', 'content-length': '2' }
    if (status === 206) {
      response.writeHead(206, headers).end('ab')
      return
    }
    if (request.method === 'HEAD') {
      response.writeHead(200, { 'content-length': '9' }).end()
      return
    }
    const hasBody = status !== 204 && status !== 304
    response.writeHead(status, { 'x-status': 'yes' }).end(hasBody ? `{"message":"${status}"}` : '')
  })
  for (const status of [200, 201, 204, 304, 400, 403, 404, 410, 429, 500, 503]) {
    const answer = await get(`/${status}`)
    t.equal(answer.status, status)
    t.equal(answer.headers.get('ellipsis-broker-error'), null)
    t.equal(await answer.text(), status === 204 || status === 304 ? '' : `{"message":"${status}"}`)
  }
  const part = await get('/206', { headers: { range: 'bytes=0-1' } })
  t.equal(part.headers.get('content-range'), 'bytes 0-1/9')
  t.equal(await part.text(), 'ab')
  const head = await get('/200', { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(head.headers.get('content-length'), '9')
})

t.test('follows no redirect; passes only those that stay in the API', async (t) => {
  const { get, upstream } = await buildDrive(t, (request, response) => {
    const location = decodeURIComponent(request.url?.split('?to=')[1] ?? '')
    response.writeHead(request.url?.includes('/created') ? 201 : 302, { location }).end('moved')
  })
  const { origin } = new URL(upstream.apiUrl)
  const redirect = (to: string, path = '/moved') => get(`${path}?to=${encodeURIComponent(to)}`)
  for (const [to, location] of [
    [`${upstream.apiUrl}/path/2?x=1`, '/drive/path/2?x=1'],
    ['/v3/path/2?token=secret', '/drive/path/2'],
    ['path/2', '/drive/path/2'],
  ]) {
    const answer = await redirect(to ?? '')
    t.equal(answer.status, 302)
    t.equal(answer.headers.get('location'), location)
  }
  for (const to of [
    ...['https://evil.example/v3/path', '//evil.example/v3/x', `${origin}/other`, '/v3/../admin'],
    ...[`http://x:y@${new URL(upstream.apiUrl).host}/v3/path`, 'javascript:alert(1)', '/v30/x'],
  ]) {
    const answer = await redirect(to)
    t.equal(answer.status, 502, to)
    t.equal(answer.headers.get('location'), null)
    t.match(await answer.json(), { error: 'server_error' })
  }
  const created = await redirect('https://storage.example/1', '/created')
  t.equal(created.status, 201)
  t.equal(created.headers.get('location'), null, 'a new resource elsewhere is not named')
})

t.test('errors of the broker are JSON with a header of their own', async (t) => {
  const { broker, get, upstream } = await buildDrive(t, (_request, response) => response.end())
  const cases: [title: string, init: RequestInit, status: number, error: string][] = [
    ['no token', { headers: { authorization: '' } }, 401, 'invalid_token'],
    ['no broker token', { headers: { authorization: 'Bearer x' } }, 401, 'invalid_token'],
    ['a proof without DPoP', { headers: { authorization: 'DPoP x' } }, 401, 'invalid_dpop_proof'],
  ]
  for (const [title, init, status, error] of cases) {
    const answer = await get('/path/1', init)
    t.equal(answer.status, status, title)
    t.equal(answer.headers.get('ellipsis-broker-error'), error)
    t.match(answer.headers.get('www-authenticate'), error)
    t.match(await answer.json(), { error })
  }
  const identity = await connect(broker, await addApp(broker), { parameters: { scope: 'openid' } })
  const answer = await get('/path/1', {
    headers: { authorization: `Bearer ${identity.brokerToken}` },
  })
  t.equal(answer.status, 403)
  t.match(await answer.json(), { error: 'insufficient_scope' })
  t.equal(upstream.requests.length, 0)
  for (const path of ['/../admin', '/%2e%2e/admin']) {
    t.not((await get(path)).status, 200, path)
  }
})

t.test('DPoP: the proof names the URL of the request', async (t) => {
  const { broker, upstream } = await buildDrive(t, (_request, response) => response.end('ok'))
  const prover = await createProver(broker)
  const app = await addApp(broker, { dpop: 'required' })
  const { returned, verifier, parameters } = await authorize(broker, app, {
    parameters: { dpop_jkt: prover.jkt },
  })
  const { body } = await prover.post('/oauth/token', {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  })
  const token = body.access_token as string
  const send = async (path: string, method = 'GET') => {
    const proof = await prover.prove(path, token, { claims: { htm: method } })
    const headers = { authorization: `DPoP ${token}`, dpop: proof }
    return fetch(`${broker.url}/drive/path/1?x=1`, { headers })
  }
  t.equal((await send('/drive/path/1')).status, 200)
  t.equal((await send('/drive/path/2')).status, 401)
  t.equal((await send('/drive/*')).status, 401)
  t.equal((await send('/drive/path/1', 'POST')).status, 401)
  const bearer = { authorization: `Bearer ${token}` }
  t.equal((await fetch(`${broker.url}/drive/path/1`, { headers: bearer })).status, 401)
  t.equal(upstream.requests.length, 1)
})
