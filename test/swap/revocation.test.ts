import t from 'tap'
import { connect, exchange, postForm } from '../helper.ts'
import { begin } from './begin.ts'

t.test('revocation holds from the next request on', async (t) => {
  const { broker, brokerToken, app, connectionId } = await begin(t)
  const revoke = (token: string, more = {}) =>
    postForm(`${broker.url}/oauth/revoke`, { token, ...more })
  t.equal((await revoke('nonsense')).status, 200)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.equal((await revoke(brokerToken, { client_id: app.id })).status, 200)
  t.equal((await exchange(broker, brokerToken)).status, 401)

  const again = await connect(broker, app)
  t.equal(again.connectionId, connectionId, 'the connection stayed')
  broker.clock.advance(31 * 86_400_000)
  t.equal((await exchange(broker, again.brokerToken)).status, 401, 'expired')
  t.equal((await revoke(again.brokerToken)).status, 200, 'an expired one is taken too')
  const grant = await broker.services.store.getGrant(again.grantId)
  t.type(grant?.revokedAt, 'number')

  const third = await connect(broker, app)
  const { grants } = await broker.services.connections.revokeApp(connectionId, app.id, 'test')
  t.equal(grants, 1)
  t.equal((await exchange(broker, third.brokerToken)).status, 401)

  const fourth = await connect(broker, app)
  t.match(await broker.services.connections.revoke(connectionId, 'test'), {
    grants: 1,
    erased: true,
  })
  t.equal((await exchange(broker, fourth.brokerToken)).status, 401)
  const fifth = await connect(broker, app)
  t.not(fifth.connectionId, connectionId, 'a revoked connection is never revived')
  await broker.services.apps.remove(app.id, 'test')
  t.equal((await exchange(broker, fifth.brokerToken)).status, 401)
})

t.test('what is revoked while a swap waits for a write is not handed out', async (t) => {
  const { broker, brokerToken, app, connectionId } = await begin(t)
  const { store, connections } = broker.services
  t.equal((await exchange(broker, brokerToken)).status, 200, 'its access token is in memory now')
  const unused = await connect(broker, app)
  t.equal(unused.connectionId, connectionId)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  const useJti = store.useJti.bind(store)
  store.useJti = async (use) => {
    await useJti(use)
    await connections.revokeGrant(use.grantId, 'test')
  }
  t.equal((await exchange(broker, unused.brokerToken)).status, 401)
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test('a revocation that could not be looked up is never said to be done', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const { store } = broker.services
  // Signed with a key that this process has not met yet.
  const header = { alg: 'EdDSA', typ: 'at+jwt', kid: 'another' }
  const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
  const form = { token: brokerToken.replace(/^[^.]+/, encoded) }
  const revoke = () => postForm(`${broker.url}/oauth/revoke`, form)
  const list = store.listSigningKeys.bind(store)
  store.listSigningKeys = () => Promise.reject(new Error('the disk is gone'))
  t.match(await revoke(), { status: 500, body: { error: 'server_error' } })
  store.listSigningKeys = list
  t.equal((await revoke()).status, 200, 'there is no such key: it means nothing')
})

t.test('a revoked signing key ends what it signed', async (t) => {
  const { broker, brokerToken, app } = await begin(t)
  const key = (await broker.services.keys.list()).find(({ status }) => status === 'active')
  t.equal(await broker.services.keys.revoke(key?.kid ?? '', 'test'), true)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  const { brokerToken: next } = await connect(broker, app)
  t.equal((await exchange(broker, next)).status, 200)
  const jwks = await fetch(`${broker.url}/.well-known/jwks.json`)
  t.equal(jwks.headers.get('access-control-allow-origin'), '*')
  t.equal(((await jwks.json()) as { keys: [] }).keys.length, 2, 'one signs, one will')
})
