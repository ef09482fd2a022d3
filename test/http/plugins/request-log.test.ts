import t from 'tap'
import { buildBroker } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'

/** The request id in the response, which the log has too. */
async function requestIdOf({ url, logged }: TestBroker, proxyId?: string): Promise<string> {
  const headers = { ...(proxyId !== undefined && { 'x-request-id': proxyId }) }
  const answer = await fetch(`${url}/exchange`, { method: 'POST', headers })
  const id = answer.headers.get('x-request-id') ?? ''
  t.ok(
    logged.some((line) => (JSON.parse(line) as { request?: string }).request === id),
    `the log has ${id}`,
  )
  return id
}

t.test('uses the request id of a trusted proxy, if it is valid', async (t) => {
  for (const networks of ['127.0.0.1', '10.0.0.0/8, ::1, 127.0.0.0/8']) {
    const broker = await buildBroker(t, { env: { BROKER_TRUST_PROXY: networks } })
    for (const id of ['a1b2c3d4e5f60718293a4b5c6d7e8f90', '0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9']) {
      t.equal(await requestIdOf(broker, id), id)
    }
    for (const bad of [
      'short',
      'has spaces in it',
      'x'.repeat(65),
      'eyJhbGciOi.eyJzdWIi.c2ln',
      '',
    ]) {
      t.not(await requestIdOf(broker, bad), bad)
    }
  }
})

t.test('matches IPv4 and IPv6 addresses of proxies', async (t) => {
  const { app } = await buildBroker(t, { env: { BROKER_TRUST_PROXY: '2001:db8::/32, 10.0.0.0/8' } })
  const sent = 'a1b2c3d4e5f60718293a4b5c6d7e8f90'
  const headers = { 'x-request-id': sent }
  const ask = async (remoteAddress: string) =>
    (await app.inject({ url: '/exchange', method: 'POST', remoteAddress, headers })).headers
  for (const address of ['2001:db8::7', '10.1.2.3', '::ffff:10.1.2.3']) {
    t.match(await ask(address), headers, address)
  }
  for (const address of ['2001:db9::7', '11.1.2.3', '::ffff:11.1.2.3']) {
    t.notMatch(await ask(address), headers, address)
  }
})

t.test('ignores the request id of other clients, and gives each request its own', async (t) => {
  for (const networks of ['', '10.0.0.0/8']) {
    const broker = await buildBroker(t, { env: { BROKER_TRUST_PROXY: networks } })
    const id = 'a1b2c3d4e5f60718293a4b5c6d7e8f90'
    t.not(await requestIdOf(broker, id), id)
    t.not(await requestIdOf(broker), await requestIdOf(broker))
  }
})

t.test('requests of one page by one address are summarised', async (t) => {
  const broker = await buildBroker(t)
  const read = async () => {
    const lines = broker.logged.map((line) => JSON.parse(line) as Record<string, unknown>)
    return lines.filter(({ level, msg }) => level === 30 && /^request completed/.test(String(msg)))
  }
  const open = (path: string) => fetch(broker.url + path)
  for (let count = 0; count < 25; count++) await open('/device')
  await open('/docs')
  const [device, docs, ...others] = await read()
  t.match(device, { path: '/device', status: 200, address: '127.0.0.1' })
  t.match(docs, { path: '/docs', status: 200 })
  t.strictSame(others, [])

  await broker.app.close()
  const [summary, ...more] = (await read()).slice(2)
  t.match(summary, { path: '/device', status: 200, repeats: 24, msg: 'repeated 24 times' })
  t.equal((summary?.requests as string[]).length, 20)
  t.strictSame(more, [])
})
