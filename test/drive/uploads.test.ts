import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { finished } from 'node:stream/promises'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { serve } from '../processes.ts'
import { size } from '../size.ts'
import { sendRaw } from './raw.ts'
import { openUpload } from './transfer.ts'
import { buildDrive } from './upstream.ts'

const MIB = 1024 * 1024

t.test('the limit of uploads', async (t) => {
  let received = 0
  const drive = await buildDrive(
    t,
    async (request, response) => {
      for await (const chunk of request) received += (chunk as Buffer).length
      response.end('stored')
    },
    { env: { BROKER_UPLOAD_LIMIT: '1MiB' } },
  )
  const upload = (body: Uint8Array<ArrayBuffer>) => drive.get('/file', { method: 'PUT', body })

  await t.test('a body as large as it', async (t) => {
    t.equal((await upload(Buffer.alloc(MIB))).status, 200)
    t.equal(received, MIB)
  })

  await t.test('a larger Content-Length is refused before anything is sent on', async (t) => {
    const before = drive.upstream.requests.length
    const { request, answered } = openUpload(drive, { 'content-length': String(MIB + 1) })
    request.flushHeaders()
    t.match(await answered, { status: 413, body: /invalid_request.*1048576 bytes/ })
    t.equal(drive.upstream.requests.length, before)
  })

  await t.test('a longer body without a length is cut', async (t) => {
    const { request, answered } = openUpload(drive, {})
    request.write(Buffer.alloc(MIB))
    request.write(Buffer.alloc(1))
    t.match(await answered, { status: 413, body: /invalid_request/ })
    const [last] = drive.upstream.requests.slice(-1)
    while (last?.destroyed === false) await setTimeout(10)
    t.equal(last?.complete, false, 'Ellipsis Drive got no complete body')
  })
})

t.test('Expect: 100-continue', async (t) => {
  const drive = await buildDrive(t, async (request, response) => {
    await finished(request.resume())
    response.end(JSON.stringify(request.headers))
  })

  await t.test('the broker asks for the body when it has accepted the request', async (t) => {
    const headers = { expect: '100-continue', 'content-length': '4' }
    const { request, answered } = openUpload(drive, headers)
    const continued = new Promise((resolve) => request.once('continue', resolve))
    request.flushHeaders()
    await continued
    request.end('data')
    const { status, body } = await answered
    t.equal(status, 200)
    t.notMatch(body, 'expect')
  })

  await t.test('a refused request needs no body', async (t) => {
    const before = drive.upstream.requests.length
    const bearer = { authorization: 'Bearer wrong' }
    const headers = { expect: '100-continue', 'content-length': '1000000' }
    const { request, answered } = openUpload({ broker: drive.broker, bearer }, headers)
    request.once('continue', () => t.fail('asked for the body'))
    request.flushHeaders()
    t.match(await answered, { status: 401 })
    t.equal(drive.upstream.requests.length, before)
  })

  await t.test('other endpoints ask for it at once', async (t) => {
    const { host } = new URL(drive.broker.url)
    const head = `POST /exchange HTTP/1.1\r\nhost: ${host}\r\nexpect: 100-continue\r\n`
    const text = `${head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{}`
    t.match(await sendRaw(drive.broker.url, text, 300), /^HTTP\/1.1 100[^]*HTTP\/1.1 401/)
  })
})

t.test('an upload may take longer than another request', async (t) => {
  const drive = await buildDrive(t, async (request, response) => {
    let length = 0
    for await (const chunk of request) length += (chunk as Buffer).length
    response.end(String(length))
  })
  drive.broker.app.server.requestTimeout = 500
  drive.broker.app.server.headersTimeout = 400

  await t.test('while it is accepted', async (t) => {
    const { request, answered } = openUpload(drive, { 'content-length': '60' })
    for (let sent = 0; sent < 60; sent++) {
      request.write('x')
      await setTimeout(50)
    }
    request.end()
    t.match(await answered, { status: 200, body: '60' })
  })

  await t.test('not if it is refused', async (t) => {
    const { host } = new URL(drive.broker.url)
    const head = `PUT /drive/file HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 100\r\n\r\n`
    const beganAt = performance.now()
    // Of the first answer: Node ends a later one with the same header.
    const [answer] = (await sendRaw(drive.broker.url, head, 6000)).split('\r\n\r\n')
    t.match(answer, /^HTTP\/1.1 401[^]*connection: close/i)
    t.ok(performance.now() - beganAt < 5000, 'the connection is closed')
  })

  await t.test('nor at another endpoint', async (t) => {
    const { host } = new URL(drive.broker.url)
    const head = `POST /exchange HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\n`
    const text = `${head}content-length: 100\r\n\r\n{`
    t.match(await sendRaw(drive.broker.url, text, 6000), /^HTTP\/1.1 408 /)
  })

  await t.test('nor after an upload over the same connection', async (t) => {
    const { host } = new URL(drive.broker.url)
    const { authorization } = drive.bearer
    const upload = `PUT /drive/file HTTP/1.1\r\nhost: ${host}\r\nauthorization: ${authorization}\r\n`
    const slow = `POST /exchange HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\n`
    const text = `${upload}content-length: 1\r\n\r\nx${slow}content-length: 100\r\n\r\n{`
    const answers = await sendRaw(drive.broker.url, text, 6000)
    t.match(answers, /^HTTP\/1.1 200 [^]*HTTP\/1.1 408 /)
  })
})

t.test('an early answer of Ellipsis Drive reaches a client that still sends', async (t) => {
  const drive = await buildDrive(t, (_request, response) => {
    response.writeHead(413, { connection: 'close' }).end('{"message":"too large"}')
  })
  const { request, answered } = openUpload(drive, { 'content-length': '100000000' })
  request.write('x')
  t.match(await answered, { status: 413, body: '{"message":"too large"}' })
  request.destroy()
})

t.test('an upload and a download keep the memory of the broker flat', async (t) => {
  const total = size(64, 512) * MIB
  const piece = Buffer.alloc(MIB)
  let received = 0
  const drive = await buildDrive(t, async (request, response) => {
    if (request.method === 'PUT') {
      for await (const chunk of request) received += (chunk as Buffer).length
      response.end('stored')
      return
    }
    response.writeHead(200, { 'content-length': total })
    for (let sent = 0; sent < total; sent += MIB) {
      if (!response.write(piece)) await once(response, 'drain')
    }
    response.end()
  })
  // A process of its own has no memory of client and upstream.
  const { BROKER_PUBLIC_URL = '' } = drive.broker.env
  const { url, child } = await serve(t, { ...drive.broker.env, BROKER_PUBLIC_URL })
  const upload = async (bytes: number) => {
    const target = { broker: { url }, bearer: drive.bearer }
    const { request, answered } = openUpload(target, { 'content-length': String(bytes) })
    for (let sent = 0; sent < bytes; sent += MIB) {
      if (!request.write(piece)) await once(request, 'drain')
    }
    request.end()
    t.match(await answered, { status: 200, body: 'stored' })
  }
  const download = async () => {
    let length = 0
    const answer = await fetch(`${url}/drive/file`, { headers: drive.bearer })
    for await (const chunk of answer.body ?? []) length += chunk.byteLength
    t.equal(length, total)
  }
  const memoryMib = () => {
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    return Number(/VmRSS:\s*(\d+)/.exec(status)?.[1]) / 1024
  }
  await upload(16 * MIB)
  received = 0
  const before = memoryMib()
  let peak = before
  const timer = setInterval(() => (peak = Math.max(peak, memoryMib())), 20)
  t.teardown(() => clearInterval(timer))
  const beganAt = performance.now()
  await upload(total)
  const uploadedAt = performance.now()
  const uploadPeak = peak
  await download()
  clearInterval(timer)
  t.equal(received, total)
  const rate = (ms: number) => `${Math.round(total / MIB / (ms / 1000))} MiB/s`
  t.comment(
    `upload ${rate(uploadedAt - beganAt)}, download ${rate(performance.now() - uploadedAt)}`,
  )
  t.comment(`memory: ${before} MiB; +${uploadPeak - before} MiB (upload), +${peak - before} MiB`)
  t.ok(uploadPeak - before < 32, 'upload')
  t.ok(peak - before < 32, 'download')
})
