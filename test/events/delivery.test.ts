import t from 'tap'
import type { Test } from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { size } from '../size.ts'
import { allowLoopback, ok, startReceiver, status } from './receiver.ts'
import type { Answer, Received, Receiver } from './receiver.ts'

const HOUR_MS = 60 * 60_000
const actor = 'cli'

async function build(t: Test) {
  const broker = await buildBroker(t, { env: allowLoopback })
  broker.services.dispatcher.start()
  return broker
}

const addWebhook = ({ services }: TestBroker, url: string) =>
  services.webhooks.add({ url, appId: null, types: [], signing: 'v1' }, actor)

/** Writes events of connections: a few for each, in turns. */
async function writeEvents({ services, clock }: TestBroker, connections: string[], each: number) {
  for (let round = 0; round < each; round++) {
    for (const connectionId of connections) {
      const event = { at: clock.now(), actor: 'system', connectionId }
      const action = round % 2 === 0 ? 'connection.needs_reconnect' : 'connection.recovered'
      await services.store.addEvents([{ ...event, action }])
    }
  }
}

const USERS = ['amelie', 'bo']

const connectUsers = async (broker: TestBroker) => {
  const app = await addApp(broker)
  const connected = []
  for (const user of USERS) connected.push((await connect(broker, app, { user })).connectionId)
  return connected
}

/** Moves the clock until a condition holds, checked after each request. */
async function pass(broker: TestBroker, stepMs: number, isDone: () => boolean | Promise<boolean>) {
  while (!(await isDone())) {
    broker.clock.advance(stepMs)
    await broker.clock.sleep(20)
  }
}

/** Events that arrived, without repetitions. */
const countArrived = ({ accepted }: Receiver): number => new Set(accepted.map(({ id }) => id)).size

/** Every event of the connections arrived, and each first arrival in order. */
function checkComplete(t: Test, { accepted }: Receiver, connections: string[], count: number) {
  for (const id of connections) {
    const sequences = accepted
      .filter(({ message }) => message.data.connection_id === id)
      .map(({ message }) => message.data.sequence ?? 0)
    const first = [...new Set(sequences)]
    t.strictSame(
      first,
      [...first].sort((one, other) => one - other),
      'in order',
    )
    t.equal(first.length, count, `all of ${id}`)
  }
}

const hang: Answer = () => undefined
const faults: Record<string, Answer> = {
  fails: status(500),
  redirects: status(302, { location: 'http://127.0.0.1:1/' }),
  hangs: hang,
  'closes the connection': (response) => void response.destroy(),
  'sends half an answer of an error': (response) => {
    response.writeHead(503, { 'content-length': '1000' }).write('half')
    setImmediate(() => response.destroy())
  },
  throttles: status(429, { 'retry-after': '60' }),
}

for (const [name, fault] of Object.entries(faults)) {
  t.test(`a receiver that ${name} gets every event once it works, in order`, async (t) => {
    const broker = await build(t)
    const receiver = await startReceiver(t)
    const connections = await connectUsers(broker)
    await addWebhook(broker, receiver.url)
    receiver.answer = fault
    await writeEvents(broker, connections, 3)
    await pass(broker, 20_000, () => receiver.requests.length >= 4)
    t.equal(receiver.accepted.length, 0)
    receiver.answer = ok
    await pass(broker, 60_000, () => countArrived(receiver) === 6)
    checkComplete(t, receiver, connections, 3)
  })
}

t.test('an answer of 2xx counts, however it goes on', async (t) => {
  const broker = await build(t)
  const receiver = await startReceiver(t)
  const connections = await connectUsers(broker)
  await addWebhook(broker, receiver.url)
  const answers: Answer[] = [
    (response) => void response.writeHead(200, { 'content-length': '5000' }).write('half'),
    (response) => {
      response.writeHead(200).write('x'.repeat(100_000))
      setImmediate(() => response.destroy())
    },
    (response) => void response.writeHead(200, { 'content-length': '1' }).end('much more'),
  ]
  receiver.answer = (response, received) => {
    response.strictContentLength = false
    answers[(received.message.data.sequence ?? 0) % 3]?.(response, received)
  }
  await writeEvents(broker, connections, 3)
  await pass(broker, 1000, () => countArrived(receiver) === 6)
  await pass(
    broker,
    20_000,
    async () => !(await broker.services.store.hasOutboxWork(broker.clock.now())),
  )
  checkComplete(t, receiver, connections, 3)
  t.equal(receiver.requests.length, 6, 'each once')
})

t.test('a receiver that is down for a day gets all events in order', async (t) => {
  const broker = await build(t)
  const receiver = await startReceiver(t)
  const { port } = new URL(receiver.url)
  const connections = await connectUsers(broker)
  const { webhook } = await addWebhook(broker, receiver.url)
  await receiver.close()
  const each = size(20, 400)
  await writeEvents(broker, connections, each)
  const start = broker.clock.now()
  await pass(broker, HOUR_MS / 4, () => broker.clock.now() - start > 24 * HOUR_MS)
  t.match(await broker.services.webhooks.get(webhook.id), { pending: 2 * each, failed: 0 })
  const again = await startReceiver(t, Number(port))
  await pass(broker, HOUR_MS, () => countArrived(again) === 2 * each)
  checkComplete(t, again, connections, each)
})

t.test('a clock that was a year ahead delays nothing for a year', async (t) => {
  const broker = await build(t)
  const receiver = await startReceiver(t)
  const connections = await connectUsers(broker)
  await addWebhook(broker, receiver.url)
  receiver.answer = status(500)
  broker.clock.advance(365 * 24 * HOUR_MS)
  await writeEvents(broker, connections, 3)
  await pass(broker, 1000, () => receiver.requests.length >= 4)
  receiver.answer = ok
  broker.clock.advance(-365 * 24 * HOUR_MS)
  await pass(broker, 1000, () => countArrived(receiver) === 6)
  checkComplete(t, receiver, connections, 3)
})

t.test(
  'an event that a receiver always rejects delays only its own connection, and is given up',
  async (t) => {
    const broker = await build(t)
    const receiver = await startReceiver(t)
    const connections = await connectUsers(broker)
    const [poisoned = '', healthy = ''] = connections
    const { webhook } = await addWebhook(broker, receiver.url)
    const isPoison = ({ message: { data } }: Received) =>
      data.connection_id === poisoned && data.sequence === 3
    receiver.answer = (response, received) => {
      ;(isPoison(received) ? status(500) : ok)(response, received)
    }
    await writeEvents(broker, connections, 3)
    const of = (id: string) =>
      receiver.accepted.filter(({ message }) => message.data.connection_id === id)
    await receiver.until(() => of(healthy).length === 3 && receiver.requests.some(isPoison))
    const { clock, services } = broker
    const { webhooks } = services
    const list = async (status: 'pending' | 'failed') =>
      (await webhooks.listDeliveries(webhook.id, { status, cursor: null, limit: 5 })).rows
    while ((await webhooks.get(webhook.id)).failed === 0) {
      // Not during an attempt, which would end before it arrives.
      const isDue = (await list('pending')).some(
        ({ nextAt }) => (nextAt ?? Infinity) <= clock.now(),
      )
      if (!isDue) clock.advance(HOUR_MS)
      await clock.sleep(20)
    }
    t.equal(receiver.requests.filter(isPoison).length, 10)
    await pass(broker, 60_000, () => of(poisoned).length >= 2)
    const rows = await list('failed')
    t.match(rows, [{ attempts: 10, nextAt: null }], 'the attempts of the specification')
  },
)

t.test('a removed or disabled endpoint gets no more, and nothing stays pending', async (t) => {
  const broker = await build(t)
  const receiver = await startReceiver(t)
  const connections = await connectUsers(broker)
  const { services } = broker
  receiver.answer = status(500)
  const [first, second] = [
    (await addWebhook(broker, receiver.url)).webhook.id,
    (await addWebhook(broker, receiver.url)).webhook.id,
  ]
  await writeEvents(broker, connections, 2)
  await receiver.until(() => receiver.requests.length >= 4)
  await services.webhooks.remove(first, actor)
  await services.webhooks.setEnabled(second, false, actor)
  await pass(broker, 60_000, async () =>
    [...(await services.store.countDeliveries()).values()].every(({ pending }) => pending === 0),
  )
  const { length } = receiver.requests
  await writeEvents(broker, connections, 1)
  await pass(broker, HOUR_MS, async () => !(await services.store.hasOutboxWork(broker.clock.now())))
  t.equal(receiver.requests.length, length)
})

t.test('an endpoint that is disabled and enabled gets nothing from before', async (t) => {
  const broker = await build(t)
  const receiver = await startReceiver(t)
  const connections = await connectUsers(broker)
  const { webhooks } = broker.services
  const { id } = (await addWebhook(broker, receiver.url)).webhook
  receiver.answer = status(500)
  await writeEvents(broker, connections, 2)
  await receiver.until(() => receiver.requests.length >= 2)
  await webhooks.setEnabled(id, false, actor)
  receiver.answer = ok
  const { length } = receiver.requests
  await webhooks.setEnabled(id, true, actor)
  t.match(await webhooks.get(id), { pending: 0, failed: 4 })
  await writeEvents(broker, connections, 1)
  await webhooks.setEnabled(id, true, actor)
  await pass(broker, 60_000, () => countArrived(receiver) === 2)
  await pass(broker, HOUR_MS, async () => (await webhooks.get(id)).pending === 0)
  // A set: the clock may move on during an attempt, which is then repeated.
  const arrived = receiver.requests.slice(length).map(({ message }) => message.data.sequence)
  t.strictSame(new Set(arrived), new Set([5]))
})
