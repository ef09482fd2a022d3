import t from 'tap'
import type { TestStandIn } from './helper.ts'
import { accessToken, get, send, start } from './helper.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const ALL_TYPES = '["raster","vector","folder","file","pointCloud","bookmark"]'

/** Returns a function that sends GET requests as the user. */
async function createReader(running: TestStandIn, username = 'amelie') {
  const authorization = `Bearer ${await accessToken(running, username)}`
  return (path: string, query: Record<string, string> = {}) =>
    get(`${running.apiUrl}${path}?${new URLSearchParams(query)}`, { authorization })
}

const names = ({ body }: { body: { result: { name: string }[] } }) =>
  body.result.map(({ name }) => name)

t.test('the token is read from the header (Bearer in any case) or from the query', async (t) => {
  const running = await start(t)
  const token = await accessToken(running)
  const url = `${running.apiUrl}/account`
  for (const authorization of [`Bearer ${token}`, `bearer ${token}`, `BEARER ${token}`]) {
    t.equal((await get(url, { authorization })).status, 200)
  }
  t.equal((await get(`${url}?token=${token}`)).status, 200)
  t.equal((await get(`${url}?token=x`, { authorization: `Bearer ${token}` })).status, 200)
  for (const refused of [
    await get(url),
    await get(url, { authorization: 'Bearer nonsense' }),
    await get(url, { authorization: `Basic ${token}` }),
    await get(`${url}?token=a&token=b`),
  ]) {
    t.equal(refused.status, 401)
    t.match(refused.body, { message: String })
  }
})

t.test('the account endpoint returns id and username', async (t) => {
  const running = await start(t)
  const { standIn } = running
  const read = await createReader(running)
  const { status, body } = await read('/account')
  t.equal(status, 200)
  t.match(body, { id: UUID, username: 'amelie' })
  const again = await start(t)
  t.equal(
    (await (await createReader(again))('/account')).body.id,
    body.id,
    'the same at every start',
  )
  t.not((await (await createReader(running, 'bo'))('/account')).body.id, body.id)

  standIn.switches.accountWithoutId = true
  t.strictSame((await read('/account')).body, { username: 'amelie' })
  standIn.switches.refuseAccount = true
  const refused = await read('/account')
  t.equal(refused.status, 403)
  t.match(refused.body, { message: String })
})

t.test('the four roots list rasters and vectors by default', async (t) => {
  const running = await start(t)
  const read = await createReader(running)
  const defaultTypes = names(await read('/account/root/myDrive'))
  t.strictSame(defaultTypes, [
    'Elevation Provence',
    'Land cover Provence',
    'Flood risk Provence',
    'World relief',
    'Hiking trails',
  ])
  const all = names(await read('/account/root/myDrive', { type: ALL_TYPES }))
  t.ok(all.includes('Camargue wetlands') && all.includes('Project plan.docx'))
  t.notOk(all.includes('Test upload'))
  t.strictSame(names(await read('/account/root/trash')), ['Test upload'])
  t.strictSame(names(await read('/account/root/favorites')), ['Flood extent 2024', 'Hiking trails'])
  const shared = await read('/account/root/sharedWithMe', { type: ALL_TYPES })
  t.strictSame(names(shared), ['Lake Vättern'])
  const theirs = names(
    await (
      await createReader(running, 'bo')
    )('/account/root/myDrive', { type: ALL_TYPES }),
  )
  t.ok(theirs.includes('Forest inventory'), 'each user has a separate drive')
  t.equal((await read('/account/root/attic')).status, 400)
  t.equal((await get(`${running.apiUrl}/account/root/myDrive`)).status, 401)
})

t.test('listings are paged', async (t) => {
  const running = await start(t)
  const read = await createReader(running)
  const { body } = await read('/account/root/myDrive', { type: '["folder"]' })
  const inside = await read(`/path/${body.result[0].id}/folder/list`, { type: '["folder"]' })
  const list = `/path/${inside.body.result[1].id}/folder/list`
  const first = await read(list)
  t.equal(first.body.result.length, 50, 'the default page size is 50')
  const second = await read(list, { pageStart: first.body.nextPageStart })
  t.equal(second.body.result.length, 14)
  t.equal(second.body.nextPageStart, null)
  t.equal(new Set([...names(first), ...names(second)]).size, 64)
  const small = await read(list, { pageSize: '3', pageStart: first.body.nextPageStart })
  t.strictSame(names(small), names(second).slice(0, 3))
  t.match(small.body.nextPageStart, UUID)
  for (const wrong of [
    { pageSize: '51' },
    { pageSize: '0' },
    { pageSize: 'many' },
    { pageStart: 'nowhere' },
    { type: '["map"]' },
    { type: 'raster' },
    { type: '"raster"' },
  ]) {
    const refused = await read(list, wrong)
    t.equal(refused.status, 400, JSON.stringify(wrong))
    t.match(refused.body, { message: String })
  }
})

t.test('the path endpoint returns a path object', async (t) => {
  const running = await start(t)
  const read = await createReader(running)
  const { id } = (await read('/account/root/favorites')).body.result[0]
  const { status, body } = await read(`/path/${id}`)
  t.equal(status, 200)
  const { id: userId } = (await read('/account')).body
  t.match(body, {
    id,
    name: 'Flood extent 2024',
    type: 'raster',
    user: { id: userId, username: 'amelie' },
    driveLocation: { root: 'myDrive', path: [{ name: 'Camargue wetlands' }, { id }] },
    yourAccess: { accessLevel: 900 },
    publicAccess: { accessLevel: 0 },
    trashed: false,
    metadata: { description: '' },
    hashtags: ['flood', 'sentinel-1'],
    storageSize: Number,
    raster: { timestamps: [{ id: UUID }] },
  })
  const trashed = (await read('/account/root/trash')).body.result[0]
  t.match(trashed, { trashed: true, driveLocation: { root: 'trash' } })
  const all = await read('/account/root/myDrive', { type: ALL_TYPES })
  t.ok(all.body.result.every((one: Record<string, unknown>) => String(one.type) in one))
})

t.test('access depends on owner, sharing and public access', async (t) => {
  const running = await start(t)
  const amelie = await createReader(running)
  const bo = await createReader(running, 'bo')
  const [wetlands, trees] = (await amelie('/account/root/myDrive', { type: '["folder"]' })).body
    .result

  const shared = await bo(`/path/${trees.id}/folder/list`)
  t.equal(shared.status, 200)
  t.match(shared.body.result[0], {
    yourAccess: { accessLevel: 100 },
    driveLocation: { root: 'sharedWithMe', path: [{ id: trees.id }, { name: 'Street trees' }] },
  })
  t.equal((await bo(`/path/${wetlands.id}`)).status, 403)
  t.equal((await bo(`/path/${wetlands.id}/folder/list`)).status, 403)

  const inside = (await amelie(`/path/${wetlands.id}/folder/list`)).body.result
  const open = inside.find(({ name }: { name: string }) => name === 'Protected areas')
  t.equal(open.publicAccess.accessLevel, 100)
  const anyone = await get(`${running.apiUrl}/path/${open.id}`)
  t.equal(anyone.status, 200, 'a public path needs no token')
  t.match(anyone.body, {
    yourAccess: { accessLevel: 100 },
    driveLocation: { path: [{ id: open.id }] },
  })
  t.equal((await get(`${running.apiUrl}/path/${open.id}?token=nonsense`)).status, 401)
  t.equal((await bo(`/path/${open.id}`)).status, 200)
  t.equal((await get(`${running.apiUrl}/path/${wetlands.id}`)).status, 403)
  t.equal((await amelie(`/path/${open.id}/folder/list`)).status, 400, 'not a folder')
  t.equal((await amelie('/path/00000000-0000-4000-8000-000000000000')).status, 404)
})

t.test('a user that a test adds has a drive', async (t) => {
  const running = await start(t)
  const read = await createReader(running, 'carla')
  t.strictSame(names(await read('/account/root/myDrive')), ['Satellite image'])
  const user = running.standIn.addUser('carla')
  t.equal(running.standIn.addUser('carla', 'Carla'), user, 'an existing user stays unchanged')
})

t.test('CORS headers and JSON errors', async (t) => {
  const running = await start(t)
  for (const path of ['/account', '/nowhere', '/oauth/token']) {
    const preflight = await fetch(running.apiUrl + path, { method: 'OPTIONS' })
    t.equal(preflight.status, 204, path)
    t.match(preflight.headers.get('access-control-allow-headers'), 'authorization')
    const { headers } = await get(running.apiUrl + path)
    t.equal(headers.get('access-control-allow-origin'), '*')
  }
  const missing = await get(`${running.apiUrl}/nowhere`)
  t.equal(missing.status, 404)
  t.match(missing.body, { message: String })
  for (const path of ['openid-configuration', 'oauth-authorization-server']) {
    t.equal((await get(`${running.url}/.well-known/${path}`)).status, 404)
  }
  const control = await send('OPTIONS', `${running.url}/control`)
  t.equal(control.headers.get('access-control-allow-origin'), null, 'not for the control endpoints')
})
