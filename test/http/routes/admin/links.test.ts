import t from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, buildBroker, connect } from '../../../helper.ts'
import { textOf } from './dashboard.ts'

t.test('an admin sees the links of a user and revokes one; a viewer only sees them', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken, connectionId, grantId } = await connect(broker, app)
  const create = async (body: object) => {
    const answer = await fetch(`${broker.url}/links`, {
      method: 'POST',
      headers: { authorization: `Bearer ${brokerToken}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return (await answer.json()) as { id: string; url: string }
  }
  const path = '/account/root/myDrive'
  const first = await create({ path, label: 'Roads <b>' })
  const second = await create({ path: '/path/{z}', prefix: true })
  for (const count of [1, 2]) t.equal((await fetch(first.url)).status, 200, `use ${count}`)
  await broker.services.usage.flush()

  const page = `${broker.url}/admin/users/${connectionId}`
  const viewer = await signIn(broker, { role: 'viewer' })
  const seen = await viewer.open(page)
  t.match(textOf(seen), /Links \(2\).*\/path\/\{z\} and below/)
  t.match(textOf(seen), 'created a link: Roads &lt;b&gt;')
  t.notMatch(seen.body, `/links/${first.id}/revoke`)
  const secret = /\/l\/([^/]+)/.exec(first.url)?.[1] ?? ''
  t.notMatch(seen.body, secret)

  const admin = await signIn(broker)
  const own = await admin.open(page)
  t.match(own.body, /Roads &lt;b&gt;.*data-label="Uses">2</s)
  const other = await connect(broker, app, { user: 'bo' })
  const foreign = `${broker.url}/admin/users/${other.connectionId}/links/${first.id}/revoke`
  t.equal((await admin.open(foreign)).status, 404, 'a link of another user')
  const { links } = broker.services
  t.equal(await links.revokeAny(first.id, other.connectionId, 'cli'), false)
  const confirm = await admin.open(`${page}/links/${first.id}/revoke`)
  t.match(textOf(confirm), /Revoke a link of .amelie.\?/)
  const done = await admin.press(confirm, 'Revoke link')
  t.match(textOf(done), /Revoked the link .Roads &lt;b&gt;.*Links \(1\)/)
  t.equal((await fetch(first.url)).status, 404)
  t.equal((await admin.open(`${page}/links/${first.id}/revoke`)).status, 404)
  const { rows } = await broker.services.store.listEvents({
    limit: 1,
    filter: { connectionId, action: 'link.revoked' },
  })
  t.match(rows, [{ actor: /^admin:/, details: 'Roads <b>', grantId, appId: app.id }])

  await broker.services.connections.revokeGrant(grantId, 'cli')
  t.notMatch((await admin.open(page)).body, second.id)
})
