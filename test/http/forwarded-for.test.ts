import fc from 'fast-check'
import { isIP } from 'node:net'
import t from 'tap'
import { addApp, buildBroker, postForm } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { size } from '../size.ts'

const RUNS = Number(process.env.RUNS ?? size(300, 5000))
const PEER = '127.0.0.1'

/** The header as proxies send it, and the address that it means. */
const HEADERS: [string, string][] = [
  ['203.0.113.9', '203.0.113.9'],
  ['203.0.113.9:50001', '203.0.113.9'],
  ['[2001:db8::1]:443', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['2001:db8::1', '2001:db8::1'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['"203.0.113.9"', '203.0.113.9'],
  ['"203.0.113.9:8080"', '203.0.113.9'],
  ['"[2001:db8::1]:443"', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['[fe80::1%25eth0]:443', 'fe80::1'],
  ['::ffff:203.0.113.9', '203.0.113.9'],
  ['::ffff:cb00:7109', '203.0.113.9'],
  ['[::ffff:203.0.113.9]:1', '203.0.113.9'],
  ['  203.0.113.9\t', '203.0.113.9'],
  ['198.51.100.7, 203.0.113.9:50001', '203.0.113.9'],
  ['198.51.100.7:1, 10.0.0.2:2', '198.51.100.7'],
  ['unknown, 203.0.113.9', '203.0.113.9'],
  ['203.0.113.9, 10.0.0.2:443, [::ffff:10.0.0.3]:1', '203.0.113.9'],
  ['<b>, 10.0.0.2', '10.0.0.2'],
  ['203.0.113.9, ', '203.0.113.9'],
]

/** Headers without an address: the peer's counts. */
const GARBAGE = [
  ...['', ',', 'unknown', '_hidden', '_SEVKISEK', 'null', '-', 'localhost', '203.0.113.9, unknown'],
  ...[
    '203.0.113.9; drop',
    '203.0.113.9 198.51.100.7',
    '999.1.1.1',
    '0x7f.1',
    '127.1',
    '1',
    '010.0.0.1',
  ],
  ...[
    '<script>',
    '"',
    '"203.0.113.9',
    '[2001:db8::1',
    '2001:db8::1]:443',
    '[]',
    '[203.0.113.9',
    ':443',
  ],
  ...['203.0.113.9:', '203.0.113.9:x', '203.0.113.9:123456', '203.0.113.9:_p', 'for=203.0.113.9'],
  ...[
    '2001:db8::1%',
    'fe80::1%<b>',
    '203.0.113.9%eth0',
    '1.2.3.4/24',
    'http://203.0.113.9',
    '::1::',
  ],
]

const build = (t: Parameters<typeof buildBroker>[0], env: Record<string, string> = {}) =>
  buildBroker(t, { env: { BROKER_TRUST_PROXY: '127.0.0.1,10.0.0.0/8', ...env } })

const lastLine = ({ logged }: TestBroker) =>
  JSON.parse(logged.at(-1) ?? '{}') as { address?: string; msg?: string }

t.test('an address is normalised, or it is none', async (t) => {
  const broker = await build(t)
  const cases = [...HEADERS, ...GARBAGE.map((text): [string, string] => [text, PEER])]
  for (const [sent, meant] of cases) {
    const headers = { 'x-forwarded-for': sent, accept: 'text/html' }
    const answer = await fetch(`${broker.url}/`, { headers })
    t.equal(answer.status, 200)
    t.equal(lastLine(broker).address, meant, JSON.stringify(sent))
  }
})

t.test('the header of an unknown peer is ignored', async (t) => {
  const broker = await buildBroker(t)
  await fetch(`${broker.url}/`, { headers: { 'x-forwarded-for': '203.0.113.9:1' } })
  t.equal(lastLine(broker).address, PEER)
})

t.test('no form of an address is a new budget', async (t) => {
  const forms: [string, (count: number) => string][] = [
    ['ports', (count) => `203.0.113.9:${50_000 + count}`],
    ['ports of IPv6', (count) => `[2001:db8::${count}]:${50_000 + count}`],
    ['zones', (count) => `fe80::1%eth${count}`],
    ['IPv4-mapped', (count) => (count % 2 ? '::ffff:203.0.113.9' : '"203.0.113.9"')],
    ['garbage', (count) => `unknown${count}`],
    ['forged', (count) => `192.0.2.${count}, 203.0.113.9:${count}`],
  ]
  for (const [name, form] of forms) {
    const broker = await build(t, { BROKER_FAILURE_LIMIT: '5' })
    const { id } = await addApp(broker)
    const statuses: number[] = []
    for (let count = 1; count <= 14; count++) {
      const body = {
        grant_type: 'authorization_code',
        client_id: id,
        code: 'x',
        code_verifier: 'x',
      }
      const headers = { 'x-forwarded-for': form(count) }
      statuses.push((await postForm(`${broker.url}/oauth/token`, body, headers)).status)
    }
    t.equal(statuses.filter((status) => status === 429).length, 9, name)
  }
})

t.test('no form of an address is a new budget for passwords', async (t) => {
  const broker = await build(t)
  const page = await fetch(`${broker.url}/admin/sign-in`)
  const _csrf = /name="_csrf" value="([^"]+)"/.exec(await page.text())?.[1] ?? ''
  const cookie = page.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  const signIn = async (email: string, forwardedFor: string) => {
    const body = new URLSearchParams({ _csrf, email, password: 'wrong wrong wrong' })
    const headers = { cookie, 'x-forwarded-for': forwardedFor }
    const init = { method: 'POST', redirect: 'manual', headers, body } as const
    return (await fetch(`${broker.url}/admin/sign-in`, init)).status
  }
  const tried = async (form: (count: number) => string) => {
    const statuses: number[] = []
    for (let count = 0; count < 60; count++) {
      statuses.push(await signIn(`user${count}@example.com`, form(count)))
    }
    return statuses.filter((status) => status !== 429).length
  }
  const plain = await tried(() => '203.0.113.1')
  t.ok(plain < 60, `${plain} of 60`)
  t.equal(await tried((count) => `203.0.113.2:${count + 1}`), plain)
  t.equal(await tried((count) => `x${count}`), plain)
})

t.test('host, protocol and request id of a proxy are checked', async (t) => {
  const broker = await build(t)
  const garbage = [
    '<b>',
    'a b',
    'x'.repeat(300),
    '',
    'javascript:alert(1)',
    '"',
    ',',
    '[::1',
    'a:b',
  ]
  for (const text of garbage) {
    const forged = { 'x-forwarded-host': text, 'x-forwarded-proto': text, forwarded: text }
    const headers = { ...forged, 'x-request-id': text, 'x-real-ip': text, via: text }
    const page = await fetch(`${broker.url}/connect/x`, {
      headers: { ...headers, accept: 'text/html' },
    })
    t.equal(page.status, 400)
    if (text.length > 1) t.notMatch(await page.text(), text)
    for (const line of broker.logged) t.notOk(text.length > 2 && line.includes(text))
  }
})

t.test(`${RUNS} headers: only addresses are used`, async (t) => {
  const broker = await build(t)
  const port = fc.integer({ min: 0, max: 99_999 })
  const address = fc.oneof(
    ...[fc.ipV4(), fc.ipV4Extended(), fc.ipV6()],
    fc.tuple(fc.ipV4(), port).map((parts) => parts.join(':')),
    fc.tuple(fc.ipV6(), port).map(([ip, port]) => `[${ip}]:${port}`),
    fc.constantFrom('unknown', '_x', '', '10.0.0.1', '127.0.0.1', '<b>', '"1.1.1.1"', 'fe80::1%e'),
  )
  const text = fc
    .string({ unit: 'binary-ascii', maxLength: 60 })
    .map((text) => text.replace(/[^\x20-\x7e]/g, ''))
  const list = fc.array(fc.oneof({ weight: 3, arbitrary: address }, text), { maxLength: 6 })
  const header = fc
    .tuple(list, fc.constantFrom(',', ', ', ' ,', ' '))
    .map(([all, by]) => all.join(by))
  await fc.assert(
    fc.asyncProperty(header, text, async (forwardedFor, other) => {
      broker.logged.length = 0
      const forged = {
        'x-forwarded-host': other,
        'x-forwarded-proto': other,
        'x-request-id': other,
      }
      const headers = { 'x-forwarded-for': forwardedFor, ...forged, accept: 'text/html' }
      const { host } = new URL(broker.url)
      const answer = await broker.app.inject({ url: '/', headers: { host, ...headers } })
      // The log sums up the addresses of many lines; this header does not.
      const probe = await broker.app.inject({ url: '/healthz', headers: { host, ...headers } })
      const [address = ''] = String(probe.headers['x-seen-as']).split(';')
      // A well-formed name or scheme of the proxy may lead to the public URL.
      if (![200, 302, 421].includes(answer.statusCode)) throw new Error(`${answer.statusCode}`)
      if (isIP(address) === 0 || /^::ffff:|%|[A-Z]/.test(address)) throw new Error(address)
    }),
    { numRuns: RUNS },
  )
  t.pass()
})
