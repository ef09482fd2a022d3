import t from 'tap'
import { connect, exchange, postForm } from '../../helper.ts'
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
  t.equal(again.connectionId, connectionId, 'the connection is kept')
  broker.clock.advance(31 * 86_400_000)
  t.equal((await exchange(broker, again.brokerToken)).status, 401, 'expired')
  t.equal((await revoke(again.brokerToken)).status, 200, 'an expired token can be revoked')
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

const DAY_SECONDS = 86_400

/** What a swap waits for: method of the store, milliseconds to advance, lifetime of the broker token in seconds. */
const WAITS = {
  'the first use of a token': { method: 'useJti', later: 0, life: DAY_SECONDS },
  'a refresh': { method: 'saveTokens', later: 3_590_000, life: DAY_SECONDS },
  'a renewal': { method: 'renewGrant', later: 1_900_000, life: 3600 },
} as const

for (const [wait, { method, later, life }] of Object.entries(WAITS)) {
  t.test(`no token if the grant is revoked while a swap waits for ${wait}`, async (t) => {
    const { broker, app, brokerToken } = await begin(t, {}, { tokenLifetimeSeconds: life })
    const { store, connections } = broker.services
    const other = await connect(broker, app)
    const loaded = await exchange(broker, method === 'useJti' ? brokerToken : other.brokerToken)
    t.equal(loaded.status, 200, 'the access token is cached now')
    broker.clock.advance(later)
    const write = store[method].bind(store) as (argument: unknown) => Promise<never>
    let waited = 0
    Object.assign(store, {
      [method]: async (argument: unknown) => {
        const written = await write(argument)
        waited++
        await connections.revokeGrant(other.grantId, 'test')
        return written
      },
    })
    t.match(await exchange(broker, other.brokerToken), {
      status: 401,
      body: { error: 'invalid_token' },
    })
    t.equal(waited, 1)
  })
}

t.test('revocation reports an error if the key could not be looked up', async (t) => {
  const { broker, brokerToken } = await begin(t)
  const { store } = broker.services
  // Signed with a key that this process does not know yet.
  const header = { alg: 'EdDSA', typ: 'at+jwt', kid: 'another' }
  const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
  const form = { token: brokerToken.replace(/^[^.]+/, encoded) }
  const revoke = () => postForm(`${broker.url}/oauth/revoke`, form)
  const list = store.listSigningKeys.bind(store)
  store.listSigningKeys = () => Promise.reject(new Error('the disk is gone'))
  t.match(await revoke(), { status: 500, body: { error: 'server_error' } })
  store.listSigningKeys = list
  t.equal((await revoke()).status, 200, 'the key is unknown: nothing to revoke')
})

t.test('a revoked signing key invalidates the tokens that it signed', async (t) => {
  const { broker, brokerToken, app } = await begin(t)
  const key = (await broker.services.keys.list()).find(({ status }) => status === 'active')
  t.equal(await broker.services.keys.revoke(key?.kid ?? '', 'test'), true)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  const { brokerToken: next } = await connect(broker, app)
  t.equal((await exchange(broker, next)).status, 200)
  const jwks = await fetch(`${broker.url}/.well-known/jwks.json`)
  t.equal(jwks.headers.get('access-control-allow-origin'), '*')
  const { keys } = (await jwks.json()) as { keys: { alg: string }[] }
  const signBrokerTokens = keys.filter(({ alg }) => alg === 'EdDSA')
  t.equal(signBrokerTokens.length, 2, 'the active and the next key')
})
