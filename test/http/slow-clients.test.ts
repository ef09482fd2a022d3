import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import type { Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { CLOSE_WITHIN_MS, closeInTime } from '../../server/http/plugins/time-limits.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { serve, waitForOutput } from '../processes.ts'

/** A socket that says what it is told, and remembers what it hears; it ends with the test. */
function open(t: Test, url: string) {
  const socket: Socket = connectSocket(Number(new URL(url).port), '127.0.0.1')
  let heard = ''
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  return { socket, closed, heard: () => heard }
}

const connected = async (broker: TestBroker) =>
  (await connect(broker, await addApp(broker))).brokerToken

t.test('clients that never end their requests keep nobody out, and are sent away', async (t) => {
  const broker = await buildBroker(t)
  const token = await connected(broker)
  const head = 'POST /exchange HTTP/1.1\r\nhost: broker\r\n'
  const slowHeads = Array.from({ length: 200 }, () => open(t, broker.url))
  for (const { socket } of slowHeads) socket.write(head)
  const slowBodies = Array.from({ length: 200 }, () => open(t, broker.url))
  for (const { socket } of slowBodies) {
    socket.write(`${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`)
  }
  const mute = Array.from({ length: 200 }, () => open(t, broker.url))
  for (let count = 0; count < 20; count++) {
    t.equal((await exchange(broker, token)).status, 200)
  }
  const { server } = broker.app
  const limits = { headersTimeout: 10_000, requestTimeout: 20_000, timeout: 60_000 }
  t.match(server, limits)
  // As if their time had gone by: the server looks every two seconds.
  Object.assign(server, { headersTimeout: 1, requestTimeout: 1 })
  await Promise.all([...slowHeads, ...slowBodies, ...mute].map(({ closed }) => closed))
  t.match(slowHeads[0]?.heard(), /^HTTP\/1\.1 408 /)
  t.match(slowBodies[0]?.heard(), /^HTTP\/1\.1 408 /)
  Object.assign(server, limits)
  t.equal((await exchange(broker, token)).status, 200)
})

t.test('heads and bodies that are too large are refused', async (t) => {
  const broker = await buildBroker(t)
  const token = await connected(broker)
  const large = open(t, broker.url)
  large.socket.write(`GET /healthz HTTP/1.1\r\nhost: b\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`)
  await large.closed
  t.match(large.heard(), /^HTTP\/1\.1 431 /)
  const body = open(t, broker.url)
  const headers = 'host: b\r\ncontent-type: application/json\r\ncontent-length: 40000\r\n'
  body.socket.write(`POST /exchange HTTP/1.1\r\n${headers}\r\n${'x'.repeat(40_000)}`)
  await once(body.socket, 'data')
  t.match(body.heard(), /^HTTP\/1\.1 413 /)
  t.equal((await exchange(broker, token)).status, 200)
})

t.test('one that reads no answers, or hangs up in the middle, harms nobody', async (t) => {
  const broker = await buildBroker(t)
  const token = await connected(broker)
  const request = `POST /exchange HTTP/1.1\r\nhost: b\r\nauthorization: Bearer ${token}\r\n\r\n`
  const deaf = open(t, broker.url)
  deaf.socket.pause()
  for (let count = 0; count < 500; count++) deaf.socket.write(request)
  for (let count = 0; count < 50; count++) {
    const { socket } = open(t, broker.url)
    socket.write(request, () => socket.resetAndDestroy())
  }
  for (let count = 0; count < 20; count++) {
    t.equal((await exchange(broker, token)).status, 200)
  }
})

t.test('a stop waits for no slow client', async (t) => {
  const broker = await buildBroker(t)
  const slow = open(t, broker.url)
  const begun = once(broker.app.server, 'request')
  slow.socket.write('POST /exchange HTTP/1.1\r\nhost: b\r\ncontent-length: 9\r\n\r\n{')
  await begun
  t.equal(CLOSE_WITHIN_MS, 12_000, 'longer than anyone who is well waits for an answer')
  await closeInTime(broker.app, 50)
  await slow.closed
})

t.test('under load, what was accepted before a stop is answered', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
  // Until the test’s clock is advanced.
  const delay = 9000
  broker.standIn.switches.tokenDelay = delay
  const other = await serve(t, broker.env)
  const wishes = { method: 'POST', headers: { authorization: `Bearer ${brokerToken}` } }
  const json = { ...wishes.headers, 'content-type': 'application/json' }
  t.equal((await fetch(`${other.url}/exchange`, wishes)).status, 200, 'its token is in memory')
  const forced = fetch(`${other.url}/exchange`, {
    ...wishes,
    headers: json,
    body: JSON.stringify({ force: true }),
  })
  await broker.clock.asleep(delay)
  const swaps = Array.from({ length: 50 }, () => fetch(`${other.url}/exchange`, wishes))
  t.ok((await Promise.all(swaps)).every(({ status }) => status === 200))
  const told = waitForOutput(other.child, /"stopping"/)
  const stopped = other.stop()
  await told
  broker.clock.advance(delay)
  t.equal(await stopped, 0)
  t.equal((await forced).status, 200, 'the refresh under way ended first')
  t.equal((await forced).headers.get('connection'), 'close', 'so the stop needn’t wait any longer')
  const { connection } = await broker.services.connections.show(connectionId)
  t.equal(connection.generation, 2, 'and was stored')
  t.match(other.output(), /stopped/)
})
