import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { Secret } from '../../server/secret.ts'
import {
  always,
  clientAt,
  clientOf,
  clientOfBytes,
  failureOf,
  listen,
  refresh,
} from './upstream.ts'

const MiB = 1024 * 1024
const good = JSON.stringify({ access_token: 'a' })

t.test('a body has at most one MiB', async (t) => {
  const client = await clientOf(t, always(200, good.padEnd(MiB)))
  t.equal((await refresh(client)).accessToken.reveal(), 'a')
  const larger = await clientOf(t, always(200, good.padEnd(MiB + 1)))
  const error = await failureOf(refresh(larger))
  t.match(error, { kind: 'transient', status: 200, maybeApplied: true, message: /1 MiB/ })
})

t.test('an endless body is read only a little beyond the limit', async (t) => {
  let sent = 0
  let closed: Promise<unknown> | undefined
  const endless: RequestListener = (_request, response) => {
    closed = new Promise((resolve) => response.once('close', resolve))
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, ' '))) sent += 65_536
    }
    response.on('drain', more)
    more()
  }
  t.match((await failureOf(refresh(await clientOf(t, endless)))).message, /1 MiB/)
  await closed
  t.ok(sent < 32 * MiB, 'the connection was closed')
})

t.test('the limit applies to the decompressed body', async (t) => {
  const headers = { 'content-encoding': 'gzip' }
  const small = await clientOf(t, always(200, gzipSync(good), headers))
  t.equal((await refresh(small)).accessToken.reveal(), 'a')
  const bomb = gzipSync(Buffer.alloc(64 * MiB, ' '))
  t.ok(bomb.length < MiB)
  const before = process.memoryUsage().arrayBuffers
  const error = await failureOf(refresh(await clientOf(t, always(200, bomb, headers))))
  t.match(error, { kind: 'transient', maybeApplied: true, message: /1 MiB/ })
  t.ok(process.memoryUsage().arrayBuffers - before < 16 * MiB, 'only a part was decompressed')
  const broken = await clientOf(t, always(200, 'no gzip', headers))
  t.match(await failureOf(refresh(broken)), { status: null, maybeApplied: true })
})

t.test('redirects are not followed', async (t) => {
  const paths: string[] = []
  for (const status of [301, 302, 303, 307, 308]) {
    const client = await clientOf(t, (request, response) => {
      paths.push(request.url ?? '')
      always(request.url === '/elsewhere' ? 200 : status, good, { location: '/elsewhere' })(
        request,
        response,
      )
    })
    const error = await failureOf(refresh(client))
    // Only 303 says that the request was processed.
    t.match(error, { kind: 'transient', status, maybeApplied: status === 303 })
    t.match(error.message, /redirect.*ELLIPSIS_API_URL/)
    t.equal(await client.account(new Secret('a')).catch(() => 'failed'), 'failed')
  }
  t.strictSame(new Set(paths), new Set(['/oauth/token', '/account']))
})

t.test('the timeout includes the body, also a slow one', async (t) => {
  const drips: RequestListener = (_request, response) => {
    response.writeHead(200)
    const dripping = setInterval(() => response.write(' '), 10)
    response.once('close', () => clearInterval(dripping))
  }
  const error = await failureOf(refresh(await clientOf(t, drips, { timeoutMs: 150 })))
  t.match(error, { kind: 'transient', status: null, maybeApplied: true })
  t.equal(error.message, 'Ellipsis Drive did not answer within 0.15 s')
})

t.test('a slow response within the timeout is a success', async (t) => {
  let markReceived = () => undefined as void
  const received = new Promise<void>((resolve) => (markReceived = resolve))
  /** Resolves `received` when the first half has arrived. */
  const watched: typeof fetch = async (...args) => {
    const response = await fetch(...args)
    const observed = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        controller.enqueue(chunk)
        markReceived()
      },
    })
    return new Response(response.body?.pipeThrough(observed) ?? null, response)
  }
  const client = await clientOf(
    t,
    (_request, response) => {
      response.write(good.slice(0, 8))
      void received.then(() => response.end(good.slice(8)))
    },
    { fetch: watched },
  )
  t.equal((await refresh(client)).accessToken.reveal(), 'a')
})

t.test('a call whose success response is cut off may have taken effect', async (t) => {
  const cut: RequestListener = (_request, response) => {
    response.writeHead(200, { 'content-length': 1000 })
    response.write(good, () => response.destroy())
  }
  const error = await failureOf(refresh(await clientOf(t, cut)))
  t.match(error, { kind: 'transient', status: null, maybeApplied: true })
})

t.test('the status of an error counts if its body is cut off, hangs or is too large', async (t) => {
  const cut = (status: number): RequestListener => {
    return (_request, response) => {
      response.writeHead(status, { 'content-length': 1000, 'retry-after': '3' })
      response.write('{', () => response.destroy())
    }
  }
  const hangs: RequestListener = (_request, response) => {
    response.writeHead(429, { 'retry-after': '3' }).write('{')
  }
  const cases: [RequestListener, object][] = [
    [cut(400), { status: 400, maybeApplied: false, retryAfterMs: 3000 }],
    [cut(503), { status: 503, maybeApplied: true, retryAfterMs: 3000 }],
    [hangs, { status: 429, maybeApplied: false, retryAfterMs: 3000 }],
    [always(401, ' '.repeat(2 * MiB)), { status: 401, maybeApplied: false }],
  ]
  for (const [answer, facts] of cases) {
    const error = await failureOf(refresh(await clientOf(t, answer, { timeoutMs: 300 })))
    t.match(error, { kind: 'transient', ...facts })
  }
})

t.test('responses that are not HTTP', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\n'
  const bytes = ['', 'nonsense', ok, `${ok}no header\r\n\r\n`, 'HTTP/1.1 099 No\r\n\r\n{}']
  for (const line of [...bytes, `${ok}transfer-encoding: chunked\r\n\r\nnot a size\r\n`]) {
    const error = await failureOf(refresh(await clientOfBytes(t, line)))
    t.match(error, { kind: 'transient', status: null, maybeApplied: true }, JSON.stringify(line))
  }
  const beyond = await clientOfBytes(t, 'HTTP/1.1 999 What\r\ncontent-length: 2\r\n\r\n{}')
  t.match(await failureOf(refresh(beyond)), { kind: 'transient', status: 999, maybeApplied: true })
})

t.test('the status of an error counts if its body ends early', async (t) => {
  const client = await clientOfBytes(t, 'HTTP/1.1 503 Down\r\ncontent-length: 99\r\n\r\n{}')
  t.match(await failureOf(refresh(client)), { kind: 'transient', status: 503 })
})

t.test('a response without a body has no tokens', async (t) => {
  const error = await failureOf(refresh(await clientOf(t, always(204, ''))))
  t.match(error, { kind: 'transient', status: 204, maybeApplied: true })
})

t.test('a call that was never sent has not taken effect', async (t) => {
  const server = createServer()
  const url = await listen(t, server)
  await new Promise((resolve) => server.close(resolve))
  const closed = await failureOf(refresh(clientAt(url)))
  t.match(closed, { kind: 'transient', status: null, maybeApplied: false, message: /ECONNREFUSED/ })
  const nowhere = await failureOf(refresh(clientAt('http://nowhere.invalid')))
  t.match(nowhere, { maybeApplied: false, message: /ENOTFOUND|EAI_AGAIN/ })
})

/** A fetch that rejects with this cause. */
const rejecting = (cause: Error): typeof fetch => {
  return () => Promise.reject(new TypeError('fetch failed', { cause }))
}

t.test('other errors, by their system error codes', async (t) => {
  const named = (facts: object) => Object.assign(new Error(), facts)
  const connect = named({ code: 'ETIMEDOUT', syscall: 'connect' })
  const read = named({ code: 'ETIMEDOUT', syscall: 'read' })
  const cases: [Error, boolean][] = [
    [connect, false],
    [named({ code: 'UND_ERR_CONNECT_TIMEOUT' }), false],
    [named({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), false],
    [named({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' }), false],
    [new AggregateError([connect, connect]), false],
    [new AggregateError([connect, read]), true],
    [new AggregateError([]), true],
    [read, true],
    [named({ code: 'UND_ERR_SOCKET' }), true],
    [named({ code: 'ECONNRESET' }), true],
    [named({ code: 'no system’s name' }), true],
  ]
  for (const [cause, maybeApplied] of cases) {
    const error = await failureOf(refresh(clientAt('http://x', { fetch: rejecting(cause) })))
    t.match(error, { kind: 'transient', status: null, maybeApplied })
    t.notMatch(error.message, 'no system')
  }
})

t.test('a failed account call has no effect upstream', async (t) => {
  const token = new Secret('a')
  const answers: RequestListener[] = [
    (request) => request.socket.destroy(),
    always(500, {}),
    always(200, 'no JSON'),
    always(200, ' '.repeat(2 * MiB)),
  ]
  for (const answer of answers) {
    const error = await failureOf((await clientOf(t, answer)).account(token))
    t.match(error, { kind: 'transient', maybeApplied: false })
  }
})
