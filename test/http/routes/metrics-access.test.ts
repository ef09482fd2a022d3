import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { buildBroker, freePort } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { noNginx, noStream, startNginx, startTcpProxy } from '../../nginx.ts'
import { serve, waitForOutput } from '../../processes.ts'

const TOKEN = 'm'.repeat(32)
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
/** What a public site has, as a proxy forwards it. */
const PUBLIC = { BROKER_PUBLIC_URL: 'https://broker.example.com', BROKER_TRUST_PROXY: '127.0.0.1' }

const status = async (url: string, headers: Record<string, string> = {}) =>
  (await fetch(`${url}/metrics`, { headers })).status

/** Through nginx with its self-signed certificate. */
const statusByTls = (port: number, headers: Record<string, string> = {}) =>
  new Promise<number | undefined>((resolve, reject) => {
    const options = {
      headers: { host: 'broker.example.com', ...headers },
      rejectUnauthorized: false,
    }
    get(`https://127.0.0.1:${port}/metrics`, options, (answer: IncomingMessage) => {
      answer.resume()
      resolve(answer.statusCode)
    }).on('error', reject)
  })

/** Ways in which visitors reach a broker whose proxy tells nothing about them. */
type Ask = (headers?: Record<string, string>) => Promise<number | undefined>
const proxies: [
  name: string,
  skip: string | false,
  start: (t: Test, broker: TestBroker) => Promise<Ask>,
][] = [
  ...(
    [
      ['bare proxy_pass', { 'X-Unneeded': 'x' }],
      ['proxy_pass with Host only', { Host: '$host' }],
      ['proxy_pass with another Host', { Host: '127.0.0.1' }],
    ] as const
  ).map(([name, headers]): (typeof proxies)[number] => [
    name,
    noNginx,
    async (t, { url: upstream }) => {
      const port = await freePort()
      await startNginx(t, { port, path: '', upstream, headers })
      return (sent) => statusByTls(port, sent)
    },
  ]),
  [
    'TCP pass-through',
    noStream,
    async (t, { url }) => {
      const port = await freePort()
      await startTcpProxy(t, port, url)
      return (headers) => status(`http://127.0.0.1:${port}`, headers)
    },
  ],
]

for (const [name, skip, start] of proxies) {
  t.test(`no visitor reads the metrics through a proxy: ${name}`, { skip }, async (t) => {
    for (const [token, refused] of [
      ['', 404],
      [TOKEN, 401],
    ] as const) {
      const broker = await buildBroker(t, { env: { ...PUBLIC, BROKER_METRICS_TOKEN: token } })
      const ask = await start(t, broker)
      t.equal(await ask(), refused)
      t.equal(await ask(bearer('x')), refused)
      if (token !== '') t.equal(await ask(bearer(token)), 200)
    }
  })
}

t.test('a token, once set, is required from this machine too', async (t) => {
  const { url } = await buildBroker(t, { env: { BROKER_METRICS_TOKEN: TOKEN } })
  t.equal(await status(url, bearer(TOKEN)), 200)
  t.equal(await status(url, { authorization: `bearer   ${TOKEN}` }), 200)
  const answer = await fetch(`${url}/metrics`)
  t.match(
    {
      status: answer.status,
      challenge: answer.headers.get('www-authenticate'),
      body: await answer.json(),
    },
    {
      status: 401,
      challenge: 'Bearer',
      body: { error: 'invalid_token', error_description: /value of BROKER_METRICS_TOKEN/ },
    },
  )
  for (const authorization of [
    '',
    'Bearer',
    'Bearer ',
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    TOKEN,
  ])
    t.equal(await status(url, { authorization }), 401, authorization)
})

t.test('guesses of the token are limited', async (t) => {
  const { url } = await buildBroker(t, { env: { BROKER_FAILURE_LIMIT: '5' } })
  const statuses = await Promise.all(Array.from({ length: 12 }, () => status(url, bearer('guess'))))
  t.ok(statuses.includes(429), statuses.join())
})

t.test('without a token, the answer and one line of the log say what to set', async (t) => {
  const { url, logged } = await buildBroker(t, { env: { BROKER_METRICS_TOKEN: '' } })
  for (let count = 0; count < 3; count++) {
    const answer = await fetch(`${url}/metrics`)
    t.equal(answer.status, 404)
    t.match(await answer.json(), { error_description: /BROKER_METRICS_TOKEN.*BROKER_METRICS_PORT/ })
  }
  const lines = logged.filter((line) => /on this machine was refused \/metrics/.test(line))
  t.equal(lines.length, 1)
  t.match(lines[0], /BROKER_METRICS_PORT/)
})

const metricsUrl = /"metrics":"([^"]+)\/metrics"/

t.test('BROKER_METRICS_PORT serves only metrics, and only to this machine', async (t) => {
  const broker = await buildBroker(t)
  const { BROKER_METRICS_TOKEN: _, ...env } = broker.env
  const { child, output, url, stop } = await serve(t, { ...env, BROKER_METRICS_PORT: '0' })
  const address =
    metricsUrl.exec(output())?.[1] ?? (await waitForOutput(child, metricsUrl)).match[1] ?? ''
  t.equal(new URL(address).hostname, '127.0.0.1')
  const answer = await fetch(`${address}/metrics`)
  t.equal(answer.status, 200)
  t.match(answer.headers.get('content-type'), 'text/plain')
  t.match(await answer.text(), 'ellipsis_broker_build_info')
  for (const path of ['/', '/healthz', '/admin']) t.equal((await fetch(address + path)).status, 404)
  t.equal((await fetch(`${address}/metrics`, { method: 'POST' })).status, 405)
  t.equal(await status(url), 404, 'the public port does not serve them')
  t.equal(await stop(), 0)
  t.notMatch(output(), /was refused.*was refused/s)
})

t.test(
  'a taken metrics port is used as soon as it is free; a token is required there too',
  async (t) => {
    const broker = await buildBroker(t)
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    const { child, output } = await serve(t, { ...broker.env, BROKER_METRICS_PORT: String(port) })
    const warned = /metrics can’t be served on port \d+ of 127\.0\.0\.1 \(EADDRINUSE\)/
    if (!warned.test(output())) await waitForOutput(child, warned)
    const served = waitForOutput(child, metricsUrl)
    other.close()
    const address = (await served).match[1] ?? ''
    t.equal(await status(address), 401)
    t.equal(await status(address, bearer(broker.env.BROKER_METRICS_TOKEN ?? '')), 200)
  },
)
