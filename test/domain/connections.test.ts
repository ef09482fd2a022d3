import t from 'tap'
import { buildBroker } from '../helper.ts'

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
  t.strictSame(await store.listEvents({ connectionId: 'con_none', limit: 1 }), [])
})
