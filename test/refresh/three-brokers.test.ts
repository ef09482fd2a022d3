import t from 'tap'
import type { Test } from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import { createDatabase, noPostgres } from '../postgres.ts'
import { serve } from '../processes.ts'
import { size } from '../size.ts'

const SWAPS = size(300, 1000)

async function swapTogether(t: Test, database: Record<string, string>): Promise<void> {
  const switches = { rotation: 'always', tokenLifetime: 30 } as const
  const broker = await buildBroker(t, { switches, env: database })
  const { brokerToken } = await connect(broker, await addApp(broker))
  const others = await Promise.all([1, 2, 3].map(() => serve(t, broker.env)))
  broker.standIn.switches.tokenLifetime = 3600
  broker.standIn.switches.tokenDelay = 50
  broker.standIn.resetCalls()
  const headers = { authorization: `Bearer ${brokerToken}`, 'content-type': 'application/json' }
  const answers = await Promise.all(
    Array.from({ length: SWAPS }, async (_, index) => {
      const { url = '' } = others[index % others.length] ?? {}
      const response = await fetch(`${url}/exchange`, { method: 'POST', headers, body: '{}' })
      const { access_token: token } = (await response.json()) as { access_token?: string }
      return { status: response.status, token }
    }),
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ token }) => token)).size, 1)
  t.equal(broker.standIn.calls.refresh, 1)
}

const name = `${SWAPS} swaps of one expired token through three brokers make one call upstream`

t.test(`${name}, on SQLite`, (t) => swapTogether(t, {}))

t.test(`${name}, on PostgreSQL`, { skip: noPostgres }, async (t) =>
  swapTogether(t, { BROKER_DATABASE_URL: await createDatabase(t) }),
)
