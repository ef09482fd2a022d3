import { createHash } from 'node:crypto'
import t from 'tap'
import { syntheticBytes } from '../../server/stand-in/file-content.ts'
import { size } from '../size.ts'
import { gdal, hasGdal, openPath } from './drive.ts'
import { accessToken, get, start } from './helper.ts'

const LARGE_BYTES = 64 * 1024 ** 2

t.test('a file is downloaded whole, with its name and validators', async (t) => {
  const running = await start(t)
  const { id, token } = await openPath(running, 'large.bin')
  const url = `${running.apiUrl}/path/${id}/file/data`
  const authorization = `Bearer ${token}`
  const startedAt = performance.now()
  const response = await fetch(url, { headers: { authorization } })
  t.match(Object.fromEntries(response.headers), {
    'accept-ranges': 'bytes',
    'content-disposition': `attachment; filename="large.bin"; filename*=UTF-8''large.bin`,
    'content-length': String(LARGE_BYTES),
    'content-type': 'application/octet-stream',
    'last-modified': /GMT$/,
    etag: /^"/,
  })
  const received = createHash('sha256')
  for await (const chunk of response.body ?? []) received.update(chunk)
  const seconds = (performance.now() - startedAt) / 1000
  t.comment(`${(64 / seconds).toFixed(0)} MiB a second`)
  const expected = createHash('sha256')
  for (const chunk of syntheticBytes(0, LARGE_BYTES)) expected.update(chunk)
  t.equal(received.digest('hex'), expected.digest('hex'))

  const head = await fetch(url, { method: 'HEAD', headers: { authorization } })
  t.equal(head.headers.get('content-length'), String(LARGE_BYTES))
  const etag = response.headers.get('etag') ?? ''
  t.equal((await get(url, { authorization, 'if-none-match': etag })).status, 304)
})

t.test('ranges', async (t) => {
  const running = await start(t)
  const { id, token } = await openPath(running, 'large.bin')
  const url = `${running.apiUrl}/path/${id}/file/data?token=${token}`
  const read = async (headers: Record<string, string>) => {
    const response = await fetch(url, { headers })
    return { response, bytes: response.ok ? Buffer.from(await response.arrayBuffer()) : null }
  }
  const end = LARGE_BYTES
  for (const [range, from, to] of [
    ['bytes=0-0', 0, 1],
    ['bytes=70000-140000', 70_000, 140_001],
    [`bytes=${end - 5}-`, end - 5, end],
    ['bytes=-7', end - 7, end],
    [`bytes=${end - 5}-${end + 5}`, end - 5, end],
  ] as const) {
    const { response, bytes } = await read({ range })
    t.equal(response.status, 206, range)
    t.equal(response.headers.get('content-range'), `bytes ${from}-${to - 1}/${end}`)
    t.ok(bytes?.equals(Buffer.concat([...syntheticBytes(from, to)])))
  }
  for (const range of [`bytes=${end}-`, 'bytes=-0']) {
    const { response } = await read({ range })
    t.equal(response.status, 416, range)
    t.equal(response.headers.get('content-range'), `bytes */${end}`)
  }
  const etag = (await read({ range: 'bytes=0-0' })).response.headers.get('etag') ?? ''
  t.equal((await read({ range: 'bytes=0-0', 'if-range': etag })).response.status, 206)
  for (const ignored of [
    { range: 'bytes=0-0', 'if-range': '"other"' },
    { range: 'bytes=0-0,5-9' },
    { range: 'bytes=9-5' },
    { range: 'lines=0-5' },
  ]) {
    const abort = new AbortController()
    const response = await fetch(url, { headers: ignored, signal: abort.signal })
    t.equal(response.status, 200, JSON.stringify(ignored))
    abort.abort()
  }
})

t.test('access to files', async (t) => {
  const running = await start(t)
  const { id } = await openPath(running, 'large.bin')
  const data = (path: string, token = '') =>
    get(`${running.apiUrl}/path/${path}/file/data${token && `?token=${token}`}`)
  t.equal((await data(id)).status, 403)
  t.equal((await data(id, 'old')).status, 401)
  t.equal((await data(id, await accessToken(running, 'bo'))).status, 403)
  const { id: layer, token } = await openPath(running, 'Elevation Provence')
  t.equal((await data(layer, token)).status, 400)
  t.equal((await data('other', token)).status, 404)
})

t.test('GDAL reads parts of the GeoTIFF', { skip: !hasGdal && 'no GDAL' }, async (t) => {
  const running = await start(t)
  const { id, token } = await openPath(running, 'Elevation Provence.tif')
  const url = `${running.apiUrl}/path/${id}/file/data?token=${token}`
  const info = await gdal('gdalinfo', '-mm', `/vsicurl/${url}`)
  for (const text of [
    'Driver: GTiff/GeoTIFF',
    'Size is 1024, 1024',
    'WGS 84 / Pseudo-Mercator',
    'Block=256x256 Type=Int16',
    'Overviews: 512x512, 256x256',
  ]) {
    t.match(info, text)
  }
  const [, low, high] = /Min\/Max=(-?[\d.]+),(-?[\d.]+)/.exec(info) ?? []
  t.ok(Number(low) < 0 && Number(high) > 500, `heights from ${low} to ${high} m`)
  t.ok(running.standIn.requests.some(({ headers }) => headers.range !== undefined))
})

t.test('a slow download, and one that is cut', async (t) => {
  const running = await start(t)
  const { standIn, clock } = running
  const { id, token } = await openPath(running, 'Elevation Provence.tif')
  const url = `${running.apiUrl}/path/${id}/file/data?token=${token}`
  standIn.addFault({ endpoint: 'download', kind: 'slow', bytesPerSecond: 1_000 })
  const answer = await fetch(url, { headers: { range: 'bytes=0-199' } })
  const reader = answer.body!.getReader()
  t.equal((await reader.read()).value?.length, 100)
  await clock.asleep(100)
  clock.advance(100)
  t.equal((await reader.read()).value?.length, 100)
  await clock.asleep(100)
  clock.advance(100)
  t.equal((await reader.read()).done, true)

  standIn.addFault({ endpoint: 'download', kind: 'cut-during', bytes: 1_000 })
  const cut = await fetch(url)
  t.equal(cut.status, 200)
  let bytes = 0
  const readAll = async () => {
    for await (const chunk of cut.body ?? []) bytes += chunk.length
  }
  await t.rejects(readAll())
  t.equal(bytes, 1_000)
})

/** A multipart body with a file of that many zeros. */
function multipart(fields: Record<string, string>, fileBytes: number, fileField = 'data') {
  const parts = Object.entries(fields).map(
    ([name, value]) =>
      `--limit\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  )
  const head = `--limit\r\nContent-Disposition: form-data; name="${fileField}"; filename="zeros.bin"\r\ncontent-type: application/octet-stream\r\n\r\n`
  const zeros = Buffer.alloc(256 * 1024)
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Buffer.from(parts.join('') + head)),
    pull(controller) {
      const length = Math.min(fileBytes, zeros.length)
      fileBytes -= length
      if (length > 0) return controller.enqueue(zeros.subarray(0, length))
      controller.enqueue(Buffer.from('\r\n--limit--\r\n'))
      controller.close()
    },
  })
}

async function upload(url: string, token: string, body: BodyInit, headers = {}) {
  const authorization = `Bearer ${token}`
  const request = { method: 'POST', headers: { authorization, ...headers }, body, duplex: 'half' }
  const response = await fetch(`${url}/path/file`, request)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
const MULTIPART = { 'content-type': 'multipart/form-data; boundary=limit' }

t.test('an uploaded file is in the drive and is downloaded again', async (t) => {
  const running = await start(t)
  const { id: parentId, token } = await openPath(running, 'Marseille trees')
  const content = Buffer.from('height,species\r\n--12,pine\r\n')
  const form = new FormData()
  form.set('name', 'Trees “new”.csv')
  form.set('parentId', parentId)
  form.set('fileToUpload', new Blob([content]), 'trees.csv')
  const { status, body } = await upload(running.apiUrl, token, form)
  t.equal(status, 200)
  t.match(body, {
    type: 'file',
    name: 'Trees “new”.csv',
    storageSize: content.length,
    driveLocation: { path: [{ name: 'Marseille trees' }, { id: body.id }] },
  })
  t.match(running.standIn.requests.at(-1), {
    method: 'POST',
    url: '/v3/path/file',
    headers: { authorization: `Bearer ${token}` },
    fileBytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  })
  const data = await get(`${running.apiUrl}/path/${String(body.id)}/file/data?token=${token}`)
  t.equal(data.text, content.toString())
  const list = `${running.apiUrl}/path/${parentId}/folder/list?type=["file"]&token=${token}`
  t.match((await get(list)).body.result, [{ name: 'Species list.csv' }, { id: body.id }])
})

const UPLOAD_MIB = size(48, 512)

t.test(`an upload of ${UPLOAD_MIB} MiB is counted and not kept`, async (t) => {
  const running = await start(t)
  const token = await accessToken(running)
  const bytes = UPLOAD_MIB * 1024 ** 2
  const startedAt = performance.now()
  const { status, body } = await upload(
    running.apiUrl,
    token,
    multipart({ name: 'zeros' }, bytes),
    MULTIPART,
  )
  t.comment(`${((UPLOAD_MIB * 1000) / (performance.now() - startedAt)).toFixed(0)} MiB a second`)
  t.equal(status, 200)
  t.match(body, { name: 'zeros', storageSize: bytes })
  t.match(running.standIn.requests.at(-1), { fileBytes: bytes, sha256: /^[0-9a-f]{64}$/ })
  const data = await get(`${running.apiUrl}/path/${String(body.id)}/file/data?token=${token}`)
  t.equal(data.status, 404)
  t.match(data.body, { message: /did not keep/ })
})

t.test('uploads that are refused', async (t) => {
  const running = await start(t)
  const { id: folder, token } = await openPath(running, 'Marseille trees')
  const { id: raster } = await openPath(running, 'Elevation Provence')
  const bo = await accessToken(running, 'bo')
  const send = (body: BodyInit, headers: object, as = token) =>
    upload(running.apiUrl, as, body, headers)
  const small = (parentId: string) => multipart({ parentId }, 10)
  const field = '--limit\r\ncontent-disposition: form-data; name="name"\r\n\r\nx\r\n--limit--'
  const answers: [number, Promise<{ status: number }>][] = [
    [401, send(multipart({}, 10), MULTIPART, 'old')],
    [403, send(small(folder), MULTIPART, bo)],
    [400, send(small(raster), MULTIPART)],
    [404, send(small('other'), MULTIPART)],
    [415, send('x', { 'content-type': 'application/octet-stream' })],
    [415, send('{}', { 'content-type': 'application/json' })],
    [400, send(field, MULTIPART)],
    [400, send(field.slice(0, -2), MULTIPART)],
    [400, send('--limit\r\nx: y\r\n\r\n', MULTIPART)],
    [400, send('x', { 'content-type': 'multipart/form-data' })],
  ]
  for (const [status, answer] of answers) t.equal((await answer).status, status)
})
