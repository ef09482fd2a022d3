import { finished } from 'node:stream/promises'
import t from 'tap'
import { sendRaw } from './raw.ts'
import { buildDrive } from './upstream.ts'

/** Requests that two servers could read in two ways (RFC 9112 11.2): the broker passes none of them on. */
t.test('request smuggling', async (t) => {
  const drive = await buildDrive(t, async (request, response) => {
    await finished(request.resume())
    response.end('ok')
  })
  const { host } = new URL(drive.broker.url)
  const token = `authorization: ${drive.bearer.authorization}\r\n`
  const second = `GET /v3/smuggled HTTP/1.1\r\nhost: ${host}\r\n\r\n`
  const post = (lines: string, body: string) =>
    `POST /drive/path/1 HTTP/1.1\r\nhost: ${host}\r\n${token}${lines}\r\n${body}`
  const chunked = `0\r\n\r\n${second}`

  const refused: Record<string, string> = {
    'Content-Length and Transfer-Encoding': post(
      `content-length: 4\r\ntransfer-encoding: chunked\r\n`,
      chunked,
    ),
    'Transfer-Encoding and Content-Length': post(
      `transfer-encoding: chunked\r\ncontent-length: ${chunked.length}\r\n`,
      chunked,
    ),
    'two lengths': post('content-length: 4\r\ncontent-length: 5\r\n', `abcd${second}`),
    'two lengths in one header': post('content-length: 4, 5\r\n', `abcd${second}`),
    'two equal lengths': post('content-length: 4\r\ncontent-length: 4\r\n', `abcd${second}`),
    'negative length': post('content-length: -1\r\n', second),
    'length with a sign': post('content-length: +4\r\n', `abcd${second}`),
    'hexadecimal length': post('content-length: 0x4\r\n', `abcd${second}`),
    'length with a space in its name': post('content-length : 4\r\n', `abcd${second}`),
    'unknown coding': post('transfer-encoding: xchunked\r\n', chunked),
    'chunked twice': post('transfer-encoding: chunked, chunked\r\n', chunked),
    'chunked is not last': post('transfer-encoding: chunked, identity\r\n', chunked),
    'coding after a tab and a vertical tab': post('transfer-encoding:\x0bchunked\r\n', chunked),
    'obsolete line folding': post('x-a: b\r\n content-length: 4\r\n', `abcd${second}`),
    'line feed in a header': post(`x-a: b\nx-c: d\r\ncontent-length: 4\r\n`, 'abcd'),
    'carriage return in a header': post(`x-a: b\rx-c: d\r\ncontent-length: 4\r\n`, 'abcd'),
    'NUL in a header': post('accept: a\0b\r\ncontent-length: 4\r\n', 'abcd'),
    'two hosts': post(`host: evil.example\r\ncontent-length: 4\r\n`, 'abcd'),
    'a chunk size that overflows': post(
      'transfer-encoding: chunked\r\n',
      `ffffffffffffffff1\r\nabcd\r\n${chunked}`,
    ),
    'a chunk size with a sign': post('transfer-encoding: chunked\r\n', `-4\r\nabcd\r\n${chunked}`),
    'a body of GET': `GET /drive/path/1 HTTP/1.1\r\nhost: ${host}\r\n${token}content-length: ${second.length}\r\n\r\n${second}`,
    WebSocket: `GET /drive/path/1 HTTP/1.1\r\nhost: ${host}\r\n${token}connection: upgrade\r\nupgrade: websocket\r\n\r\n`,
    'space in the path': `GET /drive/path /1 HTTP/1.1\r\nhost: ${host}\r\n${token}\r\n`,
    CONNECT: `CONNECT evil.example:443 HTTP/1.1\r\nhost: ${host}\r\n${token}\r\n`,
  }
  for (const [title, text] of Object.entries(refused)) {
    await t.test(title, async (t) => {
      const answers = await sendRaw(drive.broker.url, text, 250)
      t.notMatch(answers, /HTTP\/1.1 2\d\d (?!.*Continue)/, 'no success')
      const passed = drive.upstream.requests.splice(0)
      t.notOk(
        passed.some((request) => request.complete),
        'nothing complete is passed on',
      )
      t.notOk(passed.some(({ url }) => url?.includes('smuggled')))
    })
  }

  await t.test('a path that names another host', async (t) => {
    for (const target of [
      'http://evil.example/drive/path/1',
      '//evil.example/x',
      '/drive//evil.example/x',
    ]) {
      const text = `GET ${target} HTTP/1.1\r\nhost: evil.example\r\n${token}connection: close\r\n\r\n`
      await sendRaw(drive.broker.url, text, 300)
      for (const { headers } of drive.upstream.requests.splice(0)) {
        t.equal(headers.host, new URL(drive.upstream.apiUrl).host)
      }
    }
  })

  await t.test('pipelined requests are answered in order', async (t) => {
    const one = `GET /drive/path/1 HTTP/1.1\r\nhost: ${host}\r\n${token}\r\n`
    const answers = await sendRaw(drive.broker.url, one + one, 300)
    t.equal(answers.match(/HTTP\/1.1 200/g)?.length, 2)
  })
})
