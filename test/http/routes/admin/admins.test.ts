import t from 'tap'
import { PASSWORD, signIn } from '../../../admin.ts'
import { buildBroker } from '../../../helper.ts'
import { csrfTokenOf } from './dashboard.ts'

t.test('admins are added, change roles and are removed; the last admin stays', async (t) => {
  const broker = await buildBroker(t)
  const ada = await signIn(broker, { email: 'ada@example.com' })
  const open = () => ada.open(`${broker.url}/admin/admins`)
  const add = async (fields: Record<string, string>) =>
    ada.press(await open(), 'Add admin', { password: PASSWORD, ...fields })

  t.match(await add({ email: 'nonsense' }), { status: 422, body: 'is not an e-mail address' })
  t.match(await add({ email: '<b>@x.example' }), { body: 'Added &lt;b&gt;@x.example as viewer' })
  t.match(await add({ email: 'ada@example.com' }), { status: 422, body: 'already' })
  t.match(await add({ email: 'eve@example.com', role: 'admin' }), {
    body: 'Added eve@example.com as admin',
  })
  const eve = (await broker.services.admins.list()).find(({ email }) => email.startsWith('eve'))
  t.equal(eve?.role, 'admin')
  await broker.services.admins.remove('eve@example.com', 'test')
  t.match(await add({ email: 'bob@example.com', password: 'x' }), { status: 422, body: '12 to' })
  t.match(await add({ email: 'bob@example.com', role: 'viewer' }), {
    body: 'Added bob@example.com',
  })

  const press = async (button: string) => ada.press(await open(), button)
  t.match(await press('Make ada@example.com viewer'), {
    body: 'This is the last account with the role',
  })
  const bob = await signIn(broker, { email: 'bob@example.com' })
  t.match((await bob.open(`${broker.url}/admin`)).body, '(read-only)')
  t.match(await press('Make bob@example.com admin'), { body: 'now has the role admin' })
  t.notMatch(
    (await bob.open(`${broker.url}/admin`)).body,
    '(read-only)',
    'from the next request on',
  )
  t.match(await press('Make bob@example.com viewer'), { body: 'now has the role viewer' })

  const links = [...(await open()).body.matchAll(/href="([^"]+\/remove)"/g)].map(([, path]) => path)
  t.equal(links.length, 3)
  const pages = await Promise.all(links.map((path) => ada.open(broker.url + path)))
  const of = (email: string) => pages.find(({ body }) => body.includes(`Remove ${email}?`))
  const own = of('ada@example.com')
  t.match(own?.body, 'This is your own account')
  t.match(own && (await ada.press(own, 'Remove admin')), {
    body: 'the last account with the role',
  })
  const other = of('bob@example.com')
  t.match(other && (await ada.press(other, 'Remove admin')), {
    body: 'Removed bob@example.com',
  })
  t.match((await bob.open(`${broker.url}/admin`)).url, '/sign-in', 'signed out at once')
  t.match(other && (await ada.press(other, 'Remove admin')), {
    status: 404,
    body: 'does not exist',
  })
  t.match(await ada.open(other?.url ?? ''), { status: 404 })
  const token = csrfTokenOf(await open())
  const gone = await ada.open(other?.url.replace('/remove', '/role') ?? '', undefined, {
    method: 'POST',
    body: new URLSearchParams({ _csrf: token, role: 'admin' }),
  })
  t.equal(gone.status, 404)
})

t.test('changing an admin who was removed answers that there is none', async (t) => {
  const broker = await buildBroker(t)
  const ada = await signIn(broker)
  t.equal(await broker.services.admins.setRole('none@example.com', 'admin', 'test'), 'none')
  t.equal(await broker.services.admins.remove('none@example.com', 'test'), 'none')
  t.match(await ada.open(`${broker.url}/admin/admins/adm_none/remove`), {
    status: 404,
    body: 'This admin does not exist',
  })
})
