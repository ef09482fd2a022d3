import { connect as connectSocket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { addApp, addAppWithSecret, buildBroker, connect } from '../helper.ts'
import { size } from '../size.ts'

const RUNS = Number(process.env.RUNS ?? size(300, 5000))

const TYPES = [
  undefined,
  'application/json',
  'application/json; charset=utf-8',
  'application/x-www-form-urlencoded',
  'text/plain',
  'text/xml',
  'multipart/form-data; boundary=x',
  'application/octet-stream',
  'nonsense',
  '; charset=utf-8',
  '*/*',
  '',
]

/** Sends a POST byte by byte as given; `fetch` sends no content type without a body. */
function send(url: string, lines: string[], later = ''): Promise<string> {
  const { hostname, port, host, pathname } = new URL(url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connectSocket(Number(port), hostname)
    socket.on('data', (chunk) => (answer += chunk.toString()))
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
    const head = [`POST ${pathname} HTTP/1.1`, `Host: ${host}`, 'Connection: close']
    socket.write([...head, ...lines].join('\r\n'))
    if (later !== '') setTimeout(() => socket.write(later), 20)
  })
}

const CHUNKED = 'Transfer-Encoding: chunked'

t.test('no body is no body, whatever the content type says', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true, device: true })
  const { brokerToken } = await connect(broker, await addApp(broker))
  const credentials = Buffer.from(`${app.id}:${clientSecret?.reveal()}`).toString('base64')
  const url = `${broker.url}/exchange`
  const bearer = `Authorization: Bearer ${brokerToken}`
  const basic = `Authorization: Basic ${credentials}`
  const endpoints: [string, string, RegExp][] = [
    ['/exchange', bearer, /^HTTP\/1.1 200 .*"access_token"/s],
    ['/oauth/device_authorization', basic, /^HTTP\/1.1 200 .*"device_code"/s],
    ['/oauth/token', basic, /^HTTP\/1.1 400 .*Send grant_type/s],
    ['/oauth/introspect', basic, /^HTTP\/1.1 400 .*Send token/s],
    ['/oauth/revoke', basic, /^HTTP\/1.1 400 .*Send token/s],
  ]
  for (const [path, authorization, expected] of endpoints) {
    for (const type of TYPES) {
      const headers = [authorization, ...(type === undefined ? [] : [`Content-Type: ${type}`])]
      const ends: Record<string, [string[], string?]> = {
        'Content-Length: 0': [[...headers, 'Content-Length: 0', '', '']],
        'an empty chunked body': [[...headers, CHUNKED, '', '0', '', '']],
        'an empty chunked body, later': [[...headers, CHUNKED, '', ''], '0\r\n\r\n'],
        'no length': [[...headers, '', '']],
      }
      for (const [name, [lines, later]] of Object.entries(ends)) {
        const answer = await send(broker.url + path, lines, later)
        t.match(answer, expected, `${path}: ${type}, ${name}`)
      }
    }
  }

  t.test('a body is still read, and only of the right type', async (t) => {
    const json = [bearer, 'Content-Type: application/json']
    const body = '{"min_ttl":"x"}'
    const chunks = ['1', body.slice(0, 1), 'e', body.slice(1), '0', '', ''].join('\r\n')
    for (const [lines, later, expected] of [
      [[...json, 'Content-Length: 15', '', body], '', /^HTTP\/1.1 400 .*min_ttl/s],
      [[...json, CHUNKED, '', chunks], '', /^HTTP\/1.1 400 .*min_ttl/s],
      [[...json, CHUNKED, '', ''], chunks, /^HTTP\/1.1 400 .*min_ttl/s],
      [[...json, 'Content-Length: 1', '', '{'], '', /^HTTP\/1.1 400 .*not valid JSON/s],
      [[bearer, 'Content-Type: text/xml', 'Content-Length: 4', '', '<a/>'], '', /^HTTP\/1.1 415 /],
      [
        [bearer, 'Content-Type: text/xml', CHUNKED, '', ''],
        '4\r\n<a/>\r\n0\r\n\r\n',
        /^HTTP\/1.1 415 /,
      ],
      [[bearer, 'Content-Type: nonsense', 'Content-Length: 1', '', 'x'], '', /^HTTP\/1.1 415 /],
      [[bearer, 'Content-Length: 1', '', 'x'], '', /^HTTP\/1.1 415 /],
    ] as const) {
      t.match(await send(url, [...lines], later), expected)
    }
  })

  t.test(`${RUNS} content types`, async (t) => {
    const type = fc
      .string({ unit: 'binary-ascii', maxLength: 40 })
      .map((text) => text.replace(/[^\x20-\x7e]/g, ''))
    const headers = { authorization: `Bearer ${brokerToken}` }
    await fc.assert(
      fc.asyncProperty(fc.oneof(type, fc.constantFrom(...TYPES.map(String))), async (type) => {
        const sent = { ...headers, 'content-type': type, 'content-length': '0' }
        const answer = await broker.app.inject({ method: 'POST', url: '/exchange', headers: sent })
        if (answer.statusCode !== 200) throw new Error(answer.body)
      }),
      { numRuns: RUNS },
    )
    t.pass()
  })
})
