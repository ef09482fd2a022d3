import t from 'tap'
import { ageTokens } from '../aged-tokens.ts'
import { addApp, buildBroker, connect } from '../helper.ts'
import { connectMany } from '../operate/load.ts'
import { serve } from '../processes.ts'
import { size } from '../size.ts'

const swapAt = async (url: string, token: string, wishes: object = {}) => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const body = JSON.stringify(wishes)
  const response = await fetch(`${url}/exchange`, { method: 'POST', headers, body })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

const SWAPS = size(200, 1000)

t.test(`${SWAPS} swaps through two processes make one call upstream`, async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always', tokenLifetime: 30 } })
  const { brokerToken } = await connect(broker, await addApp(broker))
  const others = [await serve(t, broker.env), await serve(t, broker.env)]
  broker.standIn.switches.tokenLifetime = 3600
  broker.standIn.switches.tokenDelay = 50
  const answers = await Promise.all(
    Array.from({ length: SWAPS }, (_, index) => swapAt(others[index % 2]?.url ?? '', brokerToken)),
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ body }) => body.access_token)).size, 1)
  t.equal(broker.standIn.calls.refresh, 1)
  for (const other of others) t.equal(await other.stop(), 0)
})

t.test('a revocation in one process holds in the others from the next request on', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
  const other = await serve(t, broker.env)
  t.equal((await swapAt(other.url, brokerToken)).status, 200)
  await broker.services.connections.revoke(connectionId, 'test')
  t.equal((await swapAt(other.url, brokerToken)).status, 401)
})

const CONNECTIONS = size(20, 100)
const ROUNDS = size(15, 25)
const REFRESHES = CONNECTIONS * ROUNDS

t.test(`${REFRESHES} refreshes of rotating tokens from two processes lose nothing`, async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always', tokenLifetime: 60 } })
  const tokens = (await connectMany(broker, CONNECTIONS)).map(({ token }) => token)
  ageTokens(broker.services.config.dataDir)
  const others = [await serve(t, broker.env), await serve(t, broker.env)]
  const worker = async (token: string, index: number) => {
    for (let round = 0; round < ROUNDS; round++) {
      const url = others[(index + round) % 2]?.url ?? ''
      // On a busy machine a refresh may outlast its waiters, which then retry.
      let status: number
      do ({ status } = await swapAt(url, token, { min_ttl: 100 }))
      while (status === 503)
      if (status !== 200) throw new Error(`swap ${round} of ${index} answered ${status}`)
    }
  }
  await Promise.all(tokens.map(worker))
  t.ok(broker.standIn.calls.refresh >= REFRESHES, `${broker.standIn.calls.refresh} refreshes`)
  const { services } = broker
  const connections = await Array.fromAsync(services.connections.all())
  t.equal(connections.length, CONNECTIONS)
  t.ok(connections.every(({ status }) => status === 'active'))
  for (const token of tokens) t.equal((await swapAt(others[0]?.url ?? '', token)).status, 200)
})
