import t from 'tap'
import { authorizationRequest, buildBroker } from '../../helper.ts'
import { openDashboard, textOf } from '../../http/routes/admin/dashboard.ts'
import { Visitor } from '../../visitor.ts'
import { addOfflineApp, connectUser } from './begin.ts'

t.test('the consent page says that an offline app needs no user', async (t) => {
  const broker = await buildBroker(t)
  for (const { offline, scope, says } of [
    { offline: true, scope: 'projects', says: true },
    { offline: true, scope: 'openid', says: false },
    { offline: false, scope: 'projects', says: false },
  ]) {
    const { app } = await addOfflineApp(broker, { offline })
    const { parameters } = authorizationRequest(app, { scope })
    const query = new URLSearchParams(parameters).toString()
    const page = await new Visitor().open(`${broker.url}/oauth/authorize?${query}`)
    t.equal(textOf(page).includes('also when you are not using it'), says, `${offline} ${scope}`)
  }
})

t.test('the dashboard shows external ids, finds users by them, and has no expiry', async (t) => {
  const broker = await buildBroker(t)
  const offline = await addOfflineApp(broker, { name: 'Report service' })
  const form = { external_id: 'customer <17>' }
  const { connectionId } = await connectUser(broker, offline, { form })
  const { app } = offline
  broker.clock.advance(40 * 86_400_000)
  const { look } = await openDashboard(broker)
  const user = textOf(await look(`/users/${connectionId}`))
  t.match(user, /Firefox on Linux grant_\S+ The app’s ID of this user: customer &lt;17&gt; Active/)
  t.match(user, 'when revoked', 'the broker token has expired, the grant has not')
  const found = textOf(await look(`/users?q=${encodeURIComponent('customer <17>')}`))
  t.match(found, 'amelie')
  t.notMatch(textOf(await look('/users?q=customer')), 'amelie', 'only the whole id')
  t.match(textOf(await look('/audit')), /Allowed .Report service. to get tokens of its users/)
  t.match(textOf(await look(`/apps/${app.id}`)), 'At any time, without its users')
  await broker.services.apps.set(app.id, { offline: false }, 'test')
  t.match(textOf(await look('/audit')), /Ended the offline access of .Report service./)
  t.match(textOf(await look(`/users/${connectionId}`)), 'No active devices')
})
