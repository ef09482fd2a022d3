import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import type { Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { CLOSE_TIMEOUT_MS, closeWithTimeout } from '../../server/http/plugins/time-limits.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { serve, waitForOutput } from '../processes.ts'

/** Opens a socket that records what it receives, and closes with the test. */
function openSocket(t: Test, url: string) {
  const socket: Socket = connectSocket(Number(new URL(url).port), '127.0.0.1')
  let received = ''
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  return { socket, closed, received: () => received }
}

const connectUser = async (broker: TestBroker) =>
  (await connect(broker, await addApp(broker))).brokerToken

t.test('clients that never finish a request are disconnected, and others are served', async (t) => {
  const broker = await buildBroker(t)
  const token = await connectUser(broker)
  const head = 'POST /exchange HTTP/1.1\r\nhost: broker\r\n'
  const slowHeads = Array.from({ length: 200 }, () => openSocket(t, broker.url))
  for (const { socket } of slowHeads) socket.write(head)
  const slowBodies = Array.from({ length: 200 }, () => openSocket(t, broker.url))
  for (const { socket } of slowBodies) {
    socket.write(`${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`)
  }
  const silent = Array.from({ length: 200 }, () => openSocket(t, broker.url))
  for (let count = 0; count < 20; count++) {
    t.equal((await exchange(broker, token)).status, 200)
  }
  const { server } = broker.app
  const limits = { headersTimeout: 10_000, requestTimeout: 20_000, timeout: 60_000 }
  t.match(server, limits)
  // Make the timeouts expire: the server checks every two seconds.
  Object.assign(server, { headersTimeout: 1, requestTimeout: 1 })
  await Promise.all([...slowHeads, ...slowBodies, ...silent].map(({ closed }) => closed))
  t.match(slowHeads[0]?.received(), /^HTTP\/1\.1 408 /)
  t.match(slowBodies[0]?.received(), /^HTTP\/1\.1 408 /)
  Object.assign(server, limits)
  t.equal((await exchange(broker, token)).status, 200)
})

t.test('headers and bodies that are too large are rejected', async (t) => {
  const broker = await buildBroker(t)
  const token = await connectUser(broker)
  const large = openSocket(t, broker.url)
  large.socket.write(`GET /healthz HTTP/1.1\r\nhost: b\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`)
  await large.closed
  t.match(large.received(), /^HTTP\/1\.1 431 /)
  const body = openSocket(t, broker.url)
  const headers = 'host: b\r\ncontent-type: application/json\r\ncontent-length: 40000\r\n'
  body.socket.write(`POST /exchange HTTP/1.1\r\n${headers}\r\n${'x'.repeat(40_000)}`)
  await once(body.socket, 'data')
  t.match(body.received(), /^HTTP\/1\.1 413 /)
  t.equal((await exchange(broker, token)).status, 200)
})

t.test('clients that do not read responses, or abort, do not affect others', async (t) => {
  const broker = await buildBroker(t)
  const token = await connectUser(broker)
  const request = `POST /exchange HTTP/1.1\r\nhost: b\r\nauthorization: Bearer ${token}\r\n\r\n`
  const unread = openSocket(t, broker.url)
  unread.socket.pause()
  for (let count = 0; count < 500; count++) unread.socket.write(request)
  for (let count = 0; count < 50; count++) {
    const { socket } = openSocket(t, broker.url)
    socket.write(request, () => socket.resetAndDestroy())
  }
  for (let count = 0; count < 20; count++) {
    t.equal((await exchange(broker, token)).status, 200)
  }
})

t.test('shutdown does not wait for a slow client', async (t) => {
  const broker = await buildBroker(t)
  const slow = openSocket(t, broker.url)
  const started = once(broker.app.server, 'request')
  slow.socket.write('POST /exchange HTTP/1.1\r\nhost: b\r\ncontent-length: 9\r\n\r\n{')
  await started
  t.equal(CLOSE_TIMEOUT_MS, 12_000, 'longer than any normal response takes')
  await closeWithTimeout(broker.app, 50)
  await slow.closed
})

t.test('under load, requests accepted before a shutdown are answered', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
  // Lasts until the test advances the clock.
  const delayMs = 9000
  broker.standIn.switches.tokenDelay = delayMs
  const other = await serve(t, broker.env)
  const options = { method: 'POST', headers: { authorization: `Bearer ${brokerToken}` } }
  const json = { ...options.headers, 'content-type': 'application/json' }
  t.equal(
    (await fetch(`${other.url}/exchange`, options)).status,
    200,
    'its access token is in memory',
  )
  const forced = fetch(`${other.url}/exchange`, {
    ...options,
    headers: json,
    body: JSON.stringify({ force: true }),
  })
  await broker.clock.asleep(delayMs)
  const swaps = Array.from({ length: 50 }, () => fetch(`${other.url}/exchange`, options))
  t.ok((await Promise.all(swaps)).every(({ status }) => status === 200))
  const told = waitForOutput(other.child, /"stopping"/)
  const stopped = other.stop()
  await told
  broker.clock.advance(delayMs)
  t.equal(await stopped, 0)
  t.equal((await forced).status, 200, 'the refresh in progress completed first')
  t.equal((await forced).headers.get('connection'), 'close', 'so that the shutdown can continue')
  const { connection } = await broker.services.connections.show(connectionId)
  t.equal(connection.generation, 2, 'and its result was stored')
  t.match(other.output(), /stopped/)
})
