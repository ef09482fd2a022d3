import t from 'tap'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import { signInAtMe, textOf } from './begin.ts'

// What Ellipsis Drive does with the refresh tokens of earlier authorizations is unknown.

for (const switches of [
  ...(['never', 'always', 'grace'] as const).map((rotation) => ({ rotation })),
  { omitRefreshToken: true },
  { singleRefreshToken: true },
  { singleRefreshToken: true, rotation: 'always' as const },
]) {
  t.test(`a sign-in ends no connection: ${JSON.stringify(switches)}`, async (t) => {
    const broker = await buildBroker(t, { switches })
    const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
    const stored = async () => broker.services.store.getConnection(connectionId)
    const before = await stored()
    const { page } = await signInAtMe(broker)
    t.match(textOf(page), 'Disconnect Test map')
    t.notMatch(textOf(page), 'reconnect')
    t.equal((await stored())?.status, 'active')
    t.equal((await exchange(broker, brokerToken, { force: true })).status, 200)
    broker.clock.advance(2 * 3_600_000)
    t.equal((await exchange(broker, brokerToken)).status, 200, 'and after its token expired')
    const { rows } = await broker.services.store.listEvents({ limit: 50 })
    const isRecovered = rows.some(({ action }) => action === 'connection.recovered')
    t.equal(isRecovered, 'singleRefreshToken' in switches, 'its tokens are used only if needed')
    t.equal((await stored())?.connectedAt, before?.connectedAt)
  })
}

t.test('signing in stores nothing for an account without a connection', async (t) => {
  const broker = await buildBroker(t)
  const { page } = await signInAtMe(broker)
  t.match(textOf(page), 'No app uses your Ellipsis Drive')
  const count = await broker.services.store.countConnections()
  t.strictSame(count, { active: 0, needs_reconnect: 0, revoked: 0 })
  const { rows } = await broker.services.store.listEvents({ limit: 50 })
  t.strictSame(
    rows.filter(({ action }) => action !== 'key.created'),
    [],
  )
})

t.test('while Ellipsis Drive cannot refresh, the connection gets the newer tokens', async (t) => {
  const broker = await buildBroker(t, { switches: { singleRefreshToken: true } })
  const { brokerToken } = await connect(broker, await addApp(broker))
  broker.standIn.faults.add({ endpoint: 'refresh', kind: 'status', status: 503, share: 1 })
  await signInAtMe(broker)
  broker.standIn.faults.clear()
  broker.clock.advance(2 * 3_600_000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})
