import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import { size } from '../size.ts'
import { KILL_POINTS } from './kills.ts'
import { allowLoopback, startReceiver } from './receiver.ts'

t.test('nothing is lost or overtaken when processes are killed at any point', async (t) => {
  const broker = await buildBroker(t, { env: allowLoopback })
  const receiver = await startReceiver(t)
  const app = await addApp(broker)
  const connections: string[] = []
  for (const user of ['amelie', 'bo'])
    connections.push((await connect(broker, app, { user })).connectionId)
  const settings = { url: receiver.url, appId: null, types: [], signing: 'v1' as const }
  await broker.services.webhooks.add(settings, 'cli')

  /** Events of each connection of which a process said that they are committed. */
  const committed = new Map(connections.map((id) => [id, 0]))
  const start = (point: string, count: number) => {
    const child = fork(
      join(import.meta.dirname, 'child.ts'),
      [point, String(count), ...connections],
      { env: { ...process.env, ...broker.env } },
    )
    child.on('message', (message: 'ready' | { committed: string }) => {
      if (message === 'ready') return
      committed.set(message.committed, (committed.get(message.committed) ?? 0) + 1)
    })
    t.teardown(() => child.kill('SIGKILL'))
    return child
  }

  const rounds = size(KILL_POINTS.length, 3 * KILL_POINTS.length)
  for (let round = 0; round < rounds; round++) {
    const point = KILL_POINTS[round % KILL_POINTS.length] ?? ''
    // The first, or a later time that it gets there. The lease is taken anew only after seconds.
    const count = point === 'after the lease' ? 1 : 1 + (round % 5)
    const [, signal] = (await once(start(point, count), 'close')) as [number, string]
    t.equal(signal, 'SIGKILL', `killed ${point}, time ${count}`)
  }

  const last = start('none', 0)
  const { store, clock } = broker.services
  const total = [...committed.values()].reduce((sum, count) => sum + count, 0)
  const arrived = (id: string) => [
    ...new Map(
      receiver.accepted
        .filter(({ message }) => message.data.connection_id === id)
        .map(({ message }) => [message.data.sequence ?? 0, true]),
    ).keys(),
  ]
  await receiver.until(() => connections.reduce((sum, id) => sum + arrived(id).length, 0) >= total)
  while (await store.hasOutboxWork(clock.now())) await clock.sleep(50)
  last.disconnect()
  for (const id of connections) {
    let written = 0
    for (let after = 0, isEnd = false; !isEnd;) {
      const page = await store.listPublicEvents({
        after,
        appId: null,
        connectionId: id,
        limit: 100,
      })
      written = page.events.at(-1)?.sequence ?? written
      ;({ readTo: after, isEnd } = page)
    }
    const numbers = arrived(id)
    // The first two were before the webhook.
    t.strictSame(
      numbers,
      Array.from({ length: written - 2 }, (_, index) => index + 3),
      'all of them, in order',
    )
    t.ok(numbers.length >= (committed.get(id) ?? 0))
  }
  t.comment(`${rounds} kills, ${total} events, ${receiver.accepted.length} arrivals`)
})
