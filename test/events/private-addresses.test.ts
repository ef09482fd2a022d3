import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { LookupAddress, lookup as systemLookup } from 'node:dns'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createPublicRequests } from '../../server/public-request.ts'
import { createSeededRandom } from '../chaos/random.ts'

/** Addresses that no webhook may reach: IPv4 as a number, and IPv6 as text. */
const PRIVATE_IPV4 = [
  [127, 0, 0, 1],
  [127, 255, 255, 254],
  [10, 1, 2, 3],
  [172, 16, 0, 1],
  [172, 31, 255, 255],
  [192, 168, 1, 1],
  [169, 254, 169, 254],
  [100, 64, 0, 1],
  [0, 0, 0, 0],
  [198, 18, 0, 1],
  [224, 0, 0, 1],
  [255, 255, 255, 255],
] as const
const PRIVATE_IPV6 = ['::1', '::', 'fe80::1', 'fc00::1', 'fd12:3456::1', 'fec0::1', 'ff02::1']

const seed = Number(process.env.TEST_SEED ?? 1)
const random = createSeededRandom(seed)
const pick = <T>(list: readonly T[]): T => list[Math.floor(random.next() * list.length)] as T

type Bytes = readonly [number, number, number, number]
const hex = (value: number) => value.toString(16)
const octal = (value: number) => `0${value.toString(8)}`
const number = ([a, b, c, d]: Bytes) => ((a * 256 + b) * 256 + c) * 256 + d
/** The last 32 bits of an IPv6 address. */
const groups = ([a, b, c, d]: Bytes) => `${hex(a * 256 + b)}:${hex(c * 256 + d)}`
const eachByte = (bytes: Bytes) =>
  bytes.map((byte) => pick([String, octal, (value: number) => `0x${hex(value)}`])(byte)).join('.')

/** Ways to write an IPv4 address as the host of a URL. */
const forms: ((bytes: Bytes) => string)[] = [
  (bytes) => bytes.join('.'),
  (bytes) => `${bytes.join('.')}.`,
  (bytes) => String(number(bytes)),
  (bytes) => `0x${hex(number(bytes))}`,
  (bytes) => octal(number(bytes)),
  eachByte,
  ([a, b, c, d]) => `${a}.${(b * 256 + c) * 256 + d}`,
  ([a, b, c, d]) => `${octal(a)}.0x${hex(b)}.${c * 256 + d}`,
  // Percent-encoded, and full-width digits and dots, which the parser of URLs maps to ASCII.
  (bytes) => [...bytes.join('.')].map((char) => `%${hex(char.charCodeAt(0))}`).join(''),
  (bytes) =>
    bytes.join('。').replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
  (bytes) => `[::ffff:${bytes.join('.')}]`,
  (bytes) => `[::ffff:${groups(bytes)}]`,
  (bytes) => `[0:0:0:0:0:ffff:${groups(bytes)}]`,
  (bytes) => `[::${bytes.join('.')}]`,
  (bytes) => `[::ffff:0:${groups(bytes)}]`,
  (bytes) => `[64:ff9b::${bytes.join('.')}]`,
  (bytes) => `[64:ff9b:1::${groups(bytes)}]`,
  (bytes) => `[2002:${groups(bytes)}::1]`,
  (bytes) => `[2001:0:${groups(bytes)}::]`,
]

const SCHEMES = ['https://', 'http://', 'HTTPS://', 'https:/', 'https:\\\\']
const USERS = ['', '', '', 'example.com@', 'example.com%40', 'a:b@']

/** What the attacker's name server answers: another address at each look-up, or one good and one private. */
function answerOf(host: string): LookupAddress[] {
  const [a, b, c, d] = pick(PRIVATE_IPV4)
  const address = pick([
    `${a}.${b}.${c}.${d}`,
    `::ffff:${a}.${b}.${c}.${d}`,
    `64:ff9b::${a}.${b}.${c}.${d}`,
    ...PRIVATE_IPV6,
  ])
  const family = address.includes(':') ? 6 : 4
  return host.startsWith('twice')
    ? [
        { address, family },
        { address, family },
      ]
    : [{ address, family }]
}

/** The host of a generated URL, and a name for it. */
const makeHost = (): string => {
  const kind = random.next()
  if (kind < 0.7) return pick(forms)(pick(PRIVATE_IPV4))
  if (kind < 0.8) return `[${pick(PRIVATE_IPV6)}]`
  return pick([
    'rebinding.example.com',
    'twice.example.com',
    'localhost',
    'localhost.',
    'LOCALHOST',
  ])
}

t.test('10,000 generated URLs reach no private address', async (t) => {
  const attempts: string[] = []
  const watch = (message: unknown) => {
    const { socket } = message as { socket: Socket }
    socket.on('connectionAttempt', (ip: string) => attempts.push(ip))
  }
  subscribe('net.client.socket', watch)
  t.teardown(() => unsubscribe('net.client.socket', watch))
  let requests = 0
  const server = createServer((_request, response) => {
    requests++
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo

  const lookups = new Map<string, number>()
  const lookup = ((host: string, _options: object, done: (...args: unknown[]) => void) => {
    lookups.set(host, (lookups.get(host) ?? 0) + 1)
    done(null, answerOf(host))
  }) as unknown as typeof systemLookup
  const settings = { allowed: [], proxy: null, connectTimeoutMs: 1000, lookup }
  const { send, close } = createPublicRequests(settings)
  t.teardown(close)
  const post = (url: string, how = send) =>
    how(url, { method: 'POST', headers: {}, body: '{}', signal: AbortSignal.timeout(5000) })

  const refused: Record<string, number> = {}
  for (let count = 0; count < 10_000; count++) {
    const url = `${pick(SCHEMES)}${pick(USERS)}${makeHost()}:${port}/${pick(['', 'a', '?b'])}`
    const reached = await post(url).then(
      ({ statusCode }) => `status ${statusCode}`,
      (error: NodeJS.ErrnoException) => error.code ?? error.name,
    )
    refused[reached] = (refused[reached] ?? 0) + 1
    if (/^status|ECONN|ETIMEDOUT/.test(reached)) t.fail(`${url}: ${reached} (TEST_SEED=${seed})`)
  }
  t.strictSame(attempts, [], 'no connection was tried')
  t.equal(requests, 0)
  t.ok((lookups.get('rebinding.example.com') ?? 0) > 100, 'names were looked up')
  t.ok((refused.EADDRNOTPUBLIC ?? 0) > 8000, JSON.stringify(refused))

  // The same code reaches an allowed network, so the test would see a connection.
  const open = createPublicRequests({ ...settings, allowed: ['127.0.0.0/8'] })
  t.teardown(open.close)
  const { statusCode, body } = await post(`http://0x7f.1:${port}/`, open.send)
  await body.dump()
  t.equal(statusCode, 200)
  t.strictSame(attempts, ['127.0.0.1'])
})

t.test(
  'of several addresses, only the public ones are tried; http needs an allowed one',
  async (t) => {
    const asked: string[] = []
    const lookup = ((_host: string, _options: object, done: (...args: unknown[]) => void) =>
      done(null, [
        { address: '10.0.0.1', family: 4 },
        { address: '2001:db8::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ])) as unknown as typeof systemLookup
    const watch = (message: unknown) => {
      const { socket } = message as { socket: Socket }
      socket.on('connectionAttempt', (ip: string) => asked.push(ip))
    }
    subscribe('net.client.socket', watch)
    t.teardown(() => unsubscribe('net.client.socket', watch))
    const { send, close } = createPublicRequests({
      ...{ allowed: ['127.0.0.1'], proxy: null, connectTimeoutMs: 1000, lookup },
    })
    t.teardown(close)
    const post = (url: string) =>
      send(url, { method: 'POST', headers: {}, body: '', signal: AbortSignal.timeout(5000) })
    await t.rejects(post('http://a.example.com:1/'), { code: 'ECONNREFUSED' })
    t.strictSame(asked, ['127.0.0.1'])
    await t.rejects(post('http://8.8.8.8/'), { code: 'EADDRNOTPUBLIC' })
  },
)

t.test('one name is looked up at a time, once for all requests', async (t) => {
  const asked: string[] = []
  const answers: (() => void)[] = []
  const lookup = ((host: string, _options: object, done: (...args: unknown[]) => void) => {
    asked.push(host)
    answers.push(() => done(null, [{ address: '10.0.0.1', family: 4 }]))
  }) as unknown as typeof systemLookup
  const { send, close } = createPublicRequests({
    ...{ allowed: [], proxy: null, connectTimeoutMs: 60_000, lookup },
  })
  t.teardown(close)
  const signal = AbortSignal.timeout(60_000)
  const hosts = ['slow', 'slow', 'slow', 'other', 'third']
  const results = hosts.map((host) =>
    t.rejects(send(`https://${host}.example.com/`, { method: 'POST', headers: {}, signal }), {
      code: 'EADDRNOTPUBLIC',
    }),
  )
  const names = ['slow.example.com', 'other.example.com', 'third.example.com']
  for (let count = 1; count <= names.length; count++) {
    while (asked.length < count) await setImmediate()
    for (let turn = 0; turn < 10; turn++) await setImmediate()
    t.strictSame(asked, names.slice(0, count))
    answers[count - 1]?.()
  }
  await Promise.all(results)
  t.equal(asked.length, 3)
})
