import t from 'tap'
import { StoreUnavailableError } from '../../db/errors.ts'
import { buildBroker } from '../helper.ts'
import { connectMany } from '../operate/load.ts'

t.test('nothing is done to a connection that there is none of', async (t) => {
  const { connections, store } = (await buildBroker(t)).services
  const none = { code: 'invalid_request', message: /There is no connection con_none/ }
  await t.rejects(connections.show('con_none'), none)
  await t.rejects(connections.refresh('con_none', 'test'), none)
  await t.rejects(connections.revoke('con_none', 'test'), none)
  await t.rejects(connections.revokeApp('con_none', 'app', 'test'), none)
  await t.rejects(connections.erase('con_none', 'test'), none)
  t.equal(await connections.find('con_none'), undefined)
  t.equal(await connections.revokeGrant('grant_none', 'test'), false)
  const filter = { connectionId: 'con_none' }
  t.strictSame((await store.listEvents({ filter, limit: 1 })).rows, [])
})

t.test(
  'a revocation whose erasure meets a full disk is done, and its erasure pending',
  async (t) => {
    const broker = await buildBroker(t)
    const { connections, store } = broker.services
    await connectMany(broker, 2)
    const { purge } = store
    let trouble: Error = new StoreUnavailableError('SQLITE_FULL', new Error('full'))
    store.purge = async () => Promise.reject(trouble)
    t.match(await connections.revoke('con_0', 'test'), { grants: 1, erased: false })
    t.match(await store.getConnection('con_0'), { status: 'revoked', erasedAt: null })
    trouble = new Error('a fault')
    await t.rejects(connections.revoke('con_1', 'test'), trouble)
    store.purge = purge
    t.match(await connections.revoke('con_0', 'test'), { grants: 0, erased: true })
    t.equal((await store.getConnection('con_1'))?.erasedAt, null, 'that is the sweeper’s')
  },
)
