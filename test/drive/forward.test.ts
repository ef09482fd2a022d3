import t from 'tap'
import { exchange } from '../helper.ts'
import { buildDrive } from './upstream.ts'

t.test('passes a request on with the access token of the user', async (t) => {
  const { broker, upstream, get, brokerToken } = await buildDrive(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'image/png', etag: '"a"' }).end('tile')
  })
  const answer = await get('/path/1/raster/tile?style=x&token=secret&%74oken=y')
  t.equal(answer.status, 200)
  t.equal(await answer.text(), 'tile')
  t.equal(answer.headers.get('etag'), '"a"')
  const { body } = await exchange(broker, brokerToken)
  const [request] = upstream.requests
  t.equal(request?.headers.authorization, `Bearer ${String(body.access_token)}`)
  t.match(request?.url, /^\/v3\/path\/1\/raster\/tile\?style=x/)
})

t.test('sends a body', async (t) => {
  const { get } = await buildDrive(t, async (request, response) => {
    let length = 0
    for await (const chunk of request) length += (chunk as Buffer).length
    response.end(JSON.stringify({ length, headers: request.headers }))
  })
  const answer = await get('/file', {
    method: 'PUT',
    body: Buffer.alloc(1_000_000),
    headers: { 'content-type': 'image/tiff' },
  })
  const body = (await answer.json()) as { length: number; headers: object }
  t.match(body, {
    length: 1_000_000,
    headers: { 'content-type': 'image/tiff', 'content-length': '1000000' },
  })
})
