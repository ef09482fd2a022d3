import { once } from 'node:events'
import { connect as openSocket } from 'node:net'
import type { Socket } from 'node:net'
import t from 'tap'
import { addApp, buildBroker, connect } from '../../helper.ts'

const PAGES = 200

/** Opens a connection, and waits until the broker has accepted it. */
async function open(url: string): Promise<Socket> {
  const { port, host, hostname } = new URL(url)
  const socket = openSocket(Number(port), hostname)
  socket.write(`GET /healthz HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
  await once(socket, 'data')
  return socket
}

t.test('an exchange does not wait for all the pages that were asked for before', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const device = await addApp(broker, { device: true, redirectUris: [] })
  const head = (line: string) => `${line} HTTP/1.1\r\nhost: ${new URL(broker.url).host}\r\n`
  const form = `client_id=${device.id}`
  const type = 'content-type: application/x-www-form-urlencoded\r\n'
  const floods = {
    pages: `${head('GET /device')}\r\n`,
    'device codes': `${head('POST /oauth/device_authorization')}${type}content-length: ${form.length}\r\n\r\n${form}`,
  }
  for (const [what, request] of Object.entries(floods)) {
    const sockets = await Promise.all(Array.from({ length: PAGES }, () => open(broker.url)))
    const app = await open(broker.url)
    let answered = 0
    for (const socket of sockets) socket.once('data', () => answered++)
    for (const socket of sockets) socket.write(request)
    app.write(`${head('POST /exchange')}authorization: Bearer ${brokerToken}\r\n\r\n`)
    const [answer] = (await once(app, 'data')) as [Buffer]
    t.match(answer.toString(), /^HTTP\/1\.1 200/)
    t.ok(answered < PAGES / 4, `${what}: ${answered} came first`)
    while (answered < PAGES) await new Promise((resolve) => setImmediate(resolve))
    for (const socket of [...sockets, app]) socket.destroy()
  }
})
