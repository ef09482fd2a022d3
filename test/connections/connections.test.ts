import t from 'tap'
import { StoreUnavailableError } from '../../db/errors.ts'
import { buildBroker } from '../helper.ts'
import { connectMany } from '../operate/load.ts'

t.test('actions on an unknown connection are rejected', async (t) => {
  const { connections, store } = (await buildBroker(t)).services
  const unknown = { code: 'invalid_request', message: /There is no connection con_none/ }
  await t.rejects(connections.show('con_none'), unknown)
  await t.rejects(connections.refresh('con_none', 'test'), unknown)
  await t.rejects(connections.revoke('con_none', 'test'), unknown)
  await t.rejects(connections.revokeApp('con_none', 'app', 'test'), unknown)
  await t.rejects(connections.erase('con_none', 'test'), unknown)
  t.equal(await connections.find('con_none'), undefined)
  t.equal(await connections.revokeGrant('grant_none', 'test'), false)
  const filter = { connectionId: 'con_none' }
  t.strictSame((await store.listEvents({ filter, limit: 1 })).rows, [])
})

t.test('a revocation succeeds on a full disk, and its erasure is pending', async (t) => {
  const broker = await buildBroker(t)
  const { connections, store } = broker.services
  await connectMany(broker, 2)
  const { purge } = store
  let failure: Error = new StoreUnavailableError('SQLITE_FULL', new Error('full'))
  store.purge = async () => Promise.reject(failure)
  t.match(await connections.revoke('con_0', 'test'), { grants: 1, erased: false })
  t.match(await store.getConnection('con_0'), { status: 'revoked', erasedAt: null })
  failure = new Error('a fault')
  await t.rejects(connections.revoke('con_1', 'test'), failure)
  store.purge = purge
  t.match(await connections.revoke('con_0', 'test'), { grants: 0, erased: true })
  t.equal((await store.getConnection('con_1'))?.erasedAt, null, 'the sweeper erases the others')
})
