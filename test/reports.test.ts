import t from 'tap'
import { loadConfig } from '../server/config/config.ts'
import { createLog } from '../server/log.ts'
import { startServices } from '../server/services.ts'
import { buildBroker, addApp, connect, exchange, freePort } from './helper.ts'
import { begin } from './oauth/swap/begin.ts'
import { temporaryFolder } from './temporary.ts'

/**
 * What users of other brokers have reported, tried on this one. Tried elsewhere: a refreshed token that is
 * never stored (keycloak#39502) and one that is dropped when none comes (keycloak#5938) in
 * test/refresh/refresh.test.ts; a lock shorter than the work, or freed by one who lost it (oauth2-proxy#3456) in
 * test/refresh/lease.test.ts; connections marked dead by an outage in test/refresh/outage.test.ts.
 */

const HOUR = 3_600_000

t.test('“parallel requests burn my rotating token” (n8n#25926, keycloak#36316)', async (t) => {
  const { broker, brokerToken, connectionId } = await begin(t, {
    switches: { rotation: 'always', tokenDelay: 100 },
  })
  broker.clock.advance(HOUR + 1000)
  const answers = await Promise.all(Array.from({ length: 50 }, () => exchange(broker, brokerToken)))
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(broker.standIn.calls.refresh, 1)
  broker.clock.advance(HOUR + 1000)
  t.equal((await exchange(broker, brokerToken)).status, 200, 'and the next refresh works')
  const { connection } = await broker.services.connections.show(connectionId)
  t.equal(connection.status, 'active')
})

t.test('“after one failed refresh it is stuck until I restart it” (nango#1005)', async (t) => {
  const { broker, brokerToken } = await begin(t)
  broker.clock.advance(HOUR + 1000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'garbage', times: 1 })
  t.equal((await exchange(broker, brokerToken)).status, 503)
  broker.clock.advance(5000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test('“it won’t start while the provider is down” (oauth2-proxy#3487)', async (t) => {
  const env = {
    ELLIPSIS_CLIENT_ID: 'one',
    ELLIPSIS_CLIENT_SECRET: 'secret',
    ELLIPSIS_API_URL: `http://127.0.0.1:${await freePort()}`,
    BROKER_DATA_DIR: temporaryFolder(t),
  }
  const log = createLog({ logLevel: 'silent' })
  const services = await startServices(loadConfig(env, { serve: true }), log, { claim: 'same' })
  await t.resolves(services.stop())
})

t.test('“without expires_in it hands out dead tokens”', async (t) => {
  const broker = await buildBroker(t, {
    switches: { omitExpiresIn: true, opaqueTokens: true, tokenLifetime: 900 },
  })
  const { brokerToken } = await connect(broker, await addApp(broker))
  const { status, body } = await exchange(broker, brokerToken)
  t.equal(status, 200)
  t.ok(Number(body.expires_in) > 0 && Number(body.expires_in) <= HOUR / 1000)
  broker.clock.advance(Number(body.expires_in) * 1000)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.ok(broker.standIn.calls.refresh >= 1, 'a life is assumed, and ends')
})

t.test('“all I get is invalid_grant”', async (t) => {
  const { broker, brokerToken, connectionId } = await begin(t)
  broker.clock.advance(HOUR + 1000)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
  const { status, body } = await exchange(broker, brokerToken)
  t.match({ status, error: body.error }, { status: 403, error: 'reconnect_required' })
  t.match(JSON.stringify(body), broker.url, 'the app is told where to send its user')
  t.notMatch(JSON.stringify(body), 'invalid_grant')
  const { connection } = await broker.services.connections.show(connectionId)
  t.match(connection.lastError, /refused the refresh token: it was revoked there, or has expired/)
})
