import t from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, buildBroker, connect, exchange } from '../../../helper.ts'

t.test('signing keys are listed, rotated and revoked', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const visitor = await signIn(broker)
  const list = () => visitor.open(`${broker.url}/admin/keys`)
  const signing = (await broker.services.keys.current('EdDSA')).kid
  t.match((await list()).body, '>Active</span>')

  const confirmation = await visitor.open(`${broker.url}/admin/keys/rotate`)
  t.match(confirmation.body, 'No user loses access')
  const rotated = await visitor.press(confirmation, 'Rotate keys')
  const { kid } = await broker.services.keys.current('EdDSA')
  t.not(kid, signing)
  t.match(rotated.body, `Key ${kid} is now the active key`)
  t.equal((await exchange(broker, brokerToken)).status, 200)

  const revocation = await visitor.open(`${broker.url}/admin/keys/${signing}/revoke`)
  t.match(revocation.body, 'cannot revoke them')
  t.notMatch(revocation.body, 'The next key becomes the active key', 'it was not active')
  const revoked = await visitor.press(revocation, 'Revoke key')
  t.match(revoked.body, `Revoked ${signing}`)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  t.match(await visitor.press(revocation, 'Revoke key'), { status: 404 })
  t.match(await visitor.open(revocation.url), {
    status: 404,
    body: 'does not exist or is already revoked',
  })

  const current = await visitor.open(`${broker.url}/admin/keys/${kid}/revoke`)
  t.match(current.body, 'The next key becomes the active key')
  const next = (await broker.services.keys.list()).find(({ status }) => status === 'next')
  const unused = await visitor.open(`${broker.url}/admin/keys/${next?.kid}/revoke`)
  t.match(unused.body, 'no user loses access')
  const [event] = (await broker.services.store.listEvents({ limit: 1 })).rows
  t.match(event, { actor: 'admin:admin@example.com', action: 'key.revoked' })
})
