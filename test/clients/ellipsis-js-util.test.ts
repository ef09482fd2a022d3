import t from 'tap'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import { accessToken, start } from '../stand-in/helper.ts'

/** The part of the package that these tests use; it has no types. */
interface RasterLayerUtil {
  getSlippyMapUrlWithDefaults(options: object): Promise<{ url: string; zoom: number }>
}

interface EllipsisApi {
  setApiUrl(url: string): void
  get(path: string, body?: object, user?: { token: string }): Promise<unknown>
  getPath(id: string, user?: { token: string }): Promise<unknown>
}

/** Loads Ellipsis Drive's own client library, which expects a browser's global object. */
async function loadLibrary() {
  Object.assign(globalThis, { self: globalThis })
  // @ts-expect-error the package has no types
  const module = (await import('ellipsis-js-util')) as {
    default: { EllipsisApi: EllipsisApi; RasterLayerUtil: RasterLayerUtil }
  }
  return module.default
}

const loadEllipsisApi = async () => (await loadLibrary()).EllipsisApi

interface Listing {
  result: { id: string; name: string; type: string }[]
  nextPageStart: string
}

t.test('ellipsis-js-util reads the stand-in', async (t) => {
  const running = await start(t)
  const api = await loadEllipsisApi()
  api.setApiUrl(running.apiUrl)
  const user = { token: await accessToken(running) }
  t.match(await api.get('/account', undefined, user), { username: 'amelie' })

  const query = { type: ['folder', 'vector'], pageSize: 1 }
  const page = await api.get('/account/root/myDrive', { ...query }, user)
  const { result, nextPageStart } = page as Listing
  t.equal(result.length, 1)
  const next = await api.get('/account/root/myDrive', { ...query, pageStart: nextPageStart }, user)
  t.match(next, { result: [{ name: 'Marseille trees' }] })

  const id = result[0]?.id ?? ''
  t.match(await api.getPath(id, user), { id, name: 'Camargue wetlands' })
  t.match(await api.get(`/path/${id}/folder/list`, {}, user), { result: [{ type: 'raster' }] })
  await t.rejects(api.getPath(id), { status: 403, message: /access/ })
  await t.rejects(api.get('/account', undefined, { token: 'old' }), {
    status: 401,
    message: /token/,
  })
})

t.test('ellipsis-js-util finds and reads the tiles of a raster', async (t) => {
  const running = await start(t)
  const { EllipsisApi: api, RasterLayerUtil: rasters } = await loadLibrary()
  api.setApiUrl(running.apiUrl)
  const token = await accessToken(running)
  const page = await api.get('/account/root/myDrive', { type: ['raster'] }, { token })
  const { id } = (page as Listing).result.find(({ name }) => name === 'World relief')!
  const { url, zoom } = await rasters.getSlippyMapUrlWithDefaults({ pathId: id, token })
  t.equal(zoom, 14)
  const tile = await fetch(url.replace('{z}/{x}/{y}', '2/1/1'))
  t.equal(tile.headers.get('content-type'), 'image/png')
  const { pathname, search } = new URL(url.replace('{z}/{x}/{y}', '2/1/1'))
  const path = (pathname + search).replace('/v3', '')
  t.ok(((await api.get(path)) as Blob).size > 1000, 'its own call reads the picture')
})

t.test('ellipsis-js-util reads the drive with the access token from a swap', async (t) => {
  const broker = await buildBroker(t)
  const api = await loadEllipsisApi()
  api.setApiUrl(broker.env.ELLIPSIS_API_URL ?? '')
  const { brokerToken } = await connect(broker, await addApp(broker))
  const { body } = await exchange(broker, brokerToken)
  const user = { token: String(body.access_token) }
  const type = JSON.stringify(['folder', 'raster', 'vector'])
  const page = await api.get('/account/root/myDrive', { type, pageSize: 50 }, user)
  const folder = (page as Listing).result.find((path) => path.type === 'folder')
  t.ok(folder, 'there is a folder')
  t.match(await api.getPath(folder?.id ?? '', user), { name: folder?.name ?? '' })
})

t.test('ellipsis-js-util works through the proxy, with the broker token', async (t) => {
  const broker = await buildBroker(t)
  const api = await loadEllipsisApi()
  api.setApiUrl(`${broker.url}/drive`)
  const { brokerToken } = await connect(broker, await addApp(broker, { access: 'proxy' }))
  const user = { token: brokerToken }
  t.match(await api.get('/account', undefined, user), { username: 'amelie' })
  const query = { type: ['folder', 'raster'], pageSize: 50 }
  const page = await api.get('/account/root/myDrive', { ...query }, user)
  const folder = (page as Listing).result.find((path) => path.type === 'folder')
  t.match(await api.getPath(folder?.id ?? '', user), { name: folder?.name ?? '' })
  await t.rejects(api.getPath('unknown', user), { status: 404, message: /exist/ })
})
