import t from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, buildBroker, connect, exchange } from '../../../helper.ts'

t.test('signing keys: see which signs, take the next, revoke one', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const visitor = await signIn(broker)
  const list = () => visitor.open(`${broker.url}/admin/keys`)
  const signing = (await broker.services.keys.current()).kid
  t.match((await list()).body, 'Signs')

  const asked = await visitor.open(`${broker.url}/admin/keys/rotate`)
  t.match(asked.body, 'Nobody is cut off')
  const rotated = await visitor.press(asked, 'Sign with the next key')
  const { kid } = await broker.services.keys.current()
  t.not(kid, signing)
  t.match(rotated.body, `Key ${kid} signs from now on`)
  t.equal((await exchange(broker, brokerToken)).status, 200)

  const question = await visitor.open(`${broker.url}/admin/keys/${signing}/revoke`)
  t.match(question.body, 'no way to take them back')
  t.notMatch(question.body, 'The next key signs from now on', 'it signs no more')
  const revoked = await visitor.press(question, 'Revoke this key')
  t.match(revoked.body, `Revoked ${signing}`)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  t.match(await visitor.press(question, 'Revoke this key'), { status: 404 })
  t.match(await visitor.open(question.url), { status: 404, body: 'no such live key' })

  const current = await visitor.open(`${broker.url}/admin/keys/${kid}/revoke`)
  t.match(current.body, 'The next key signs from now on')
  const next = (await broker.services.keys.list()).find(({ status }) => status === 'next')
  const harmless = await visitor.open(`${broker.url}/admin/keys/${next?.kid}/revoke`)
  t.match(harmless.body, 'nobody is cut off')
  const [event] = (await broker.services.store.listEvents({ limit: 1 })).rows
  t.match(event, { actor: 'admin:admin@example.com', action: 'key.revoked' })
})
