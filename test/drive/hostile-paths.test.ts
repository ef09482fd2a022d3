/**
 * Generated paths, sent as raw bytes: none reaches another host, nor a path that the policy refuses. What arrives
 * is read at every server of this process, not at the broker.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'
import { connect as connectSocket } from 'node:net'
import t from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import { listen } from '../listen.ts'
import { size } from '../size.ts'

const PATHS = size(4000, 40_000)
const SOCKETS = 8

/** Parts that paths are made of; `EVIL` becomes the authority of a server that must get no request. */
const PARTS = [
  ...[
    'path',
    'account',
    'raster',
    'vector',
    'timestamp',
    'tile',
    'security',
    'accessToken',
    'a',
    '1',
  ],
  ...[
    '/',
    '/',
    '/',
    '/',
    '//',
    '\\',
    '/./',
    '/../',
    '..',
    '.',
    ';',
    ';x=..',
    '@',
    ':',
    '?',
    '#',
    '&',
    '=',
  ],
  ...[
    '%2f',
    '%2F',
    '%5c',
    '%2e%2e',
    '%2e',
    '%252e%252e%252f',
    '%252f',
    '%00',
    '%0d%0aX: y',
    '%09',
    '%20',
  ],
  ...[
    '%c0%ae',
    '%e0%80%af',
    '%ff',
    '%',
    '%zz',
    '%u002e',
    '％2e',
    '．．',
    '／',
    '∕',
    '\u202e',
    'é',
    '%EF%BC%8F',
  ],
  ...[
    'http://EVIL',
    '//EVIL',
    'https:EVIL',
    '@EVIL',
    'EVIL',
    'http:%2f%2fEVIL',
    '[::1]',
    'file:///etc/passwd',
  ],
  ...[
    '?token=x',
    '&%74oken=x',
    '?url=http://EVIL',
    'v3',
    '/v3/',
    '/drive/',
    'tile/{z}/{x}/{y}',
    '*',
    '**',
    '~',
  ],
]

/** A generator of its own (mulberry32), so that a failure can be repeated. */
function createRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Half of them begin like an allowed path. */
function createPath(random: (below: number) => number, evil: string): string {
  const start = random(2) === 0 ? '/path/abc/raster/' : '/'
  const parts = Array.from({ length: 1 + random(7) }, () => PARTS[random(PARTS.length)] ?? '')
  return start + parts.join('').replaceAll('EVIL', evil)
}

/** Sends requests one after the other over one socket. Returns the statuses. */
async function send(port: number, token: string, targets: string[]): Promise<number[]> {
  const statuses: number[] = []
  const next = () => {
    const socket = connectSocket(port, '127.0.0.1')
    let text = ''
    const sendNext = () => {
      const target = targets[statuses.length]
      if (target === undefined) return void socket.end()
      text = ''
      socket.write(
        `GET ${target} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${token}\r\n\r\n`,
      )
    }
    socket.on('connect', sendNext)
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      const length = /content-length: (\d+)/i.exec(text)?.[1]
      const isWhole =
        end >= 0 &&
        (length === undefined
          ? text.endsWith('0\r\n\r\n')
          : text.length >= end + 4 + Number(length))
      const isClosed = /\r\nconnection: close/i.test(text)
      if (!isWhole || isClosed) return
      statuses.push(Number(text.slice(9, 12)))
      sendNext()
    })
    return new Promise<void>((resolve, reject) => {
      socket.on('error', reject)
      socket.on('close', () => {
        // The server closes after a request that it cannot read.
        if (statuses.length < targets.length) statuses.push(Number(text.slice(9, 12)))
        resolve()
      })
    })
  }
  while (statuses.length < targets.length) await next()
  return statuses
}

const isControl = (character: string): boolean => character < ' ' || character === '\x7f'

/** An independent reading of what arrived, and of the rules. */
function isAllowed(method: string, url: string): boolean {
  const [path = ''] = url.split('?')
  const segments = path.split('/').slice(1).map(decodeURIComponent)
  const isOdd = segments.some(
    (segment) => /^\.{0,2}$|[/\\;%]/.test(segment) || [...segment].some(isControl),
  )
  const [version, first, , kind] = segments
  const isKnown =
    first === 'account' ? segments.length === 2 : first === 'path' && kind === 'raster'
  return method === 'GET' && !isOdd && version === 'v3' && isKnown
}

/** Does a server that reads the query as a form find a token in it? */
const hasToken = (url: string): boolean =>
  [...new URLSearchParams(url.slice(url.indexOf('?'))).keys()].some((name) =>
    /^(access_)?token(\[\])?$/i.test(name.trim()),
  )

t.test(`${PATHS} hostile paths reach no other host and no refused path`, async (t) => {
  const broker = await buildBroker(t)
  const origin = await listen(t, (_request, response) => response.end('reached'))
  const evil = new URL(origin).host
  const allow = ['GET /account', 'GET /path/*/raster/**']
  const app = await addApp(broker, { access: 'proxy', readOnly: true, allow })
  const { brokerToken } = await connect(broker, app)
  const [port, apiPort] = [broker.url, broker.env.ELLIPSIS_API_URL ?? ''].map((url) =>
    Number(new URL(url).port),
  ) as [number, number]
  const arrived: { port: number | undefined; method: string; url: string; headers: object }[] = []
  const record = (message: unknown) => {
    const { request } = message as { request: IncomingMessage }
    const { localPort } = request.socket
    const { method = '', url = '', headers } = request
    if (localPort !== port) arrived.push({ port: localPort, method, url, headers })
  }
  subscribe('http.server.request.start', record)
  t.teardown(() => unsubscribe('http.server.request.start', record))

  const random = createRandom(1)
  const targets = Array.from({ length: PATHS }, () => `/drive${createPath(random, evil)}`)
  // A line break ends the request; a space ends the target. Both are another request, not another path.
  const sent = targets.map((target) => target.replace(/[\r\n ]/g, ''))
  const share = Math.ceil(PATHS / SOCKETS)
  const statuses = await Promise.all(
    Array.from({ length: SOCKETS }, (_, index) =>
      send(port, brokerToken, sent.slice(index * share, (index + 1) * share)),
    ),
  )
  const counts = Map.groupBy(statuses.flat(), (status) => status)
  t.comment([...counts].map(([status, each]) => `${status}: ${each.length}`).join(', '))
  t.equal(statuses.flat().length, PATHS)
  t.ok((counts.get(400)?.length ?? 0) > PATHS / 4, 'most are refused')
  const proxied = arrived.filter(({ url }) => !url.startsWith('/v3/oauth/'))
  t.ok(proxied.length > PATHS / 200, `${proxied.length} arrived`)
  t.same(
    proxied.filter((each) => each.port !== apiPort || !isAllowed(each.method, each.url)),
    [],
    'and all of them are allowed',
  )
  t.same(
    proxied.filter(({ url }) => url.includes('?') && hasToken(url)),
    [],
    'no token in a query',
  )
  t.notOk(
    statuses.flat().some((status) => status >= 500),
    'and none is an error of the broker',
  )
})
