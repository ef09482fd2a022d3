import t from 'tap'
import { accessToken, start } from './helper.ts'

interface EllipsisApi {
  setApiUrl(url: string): void
  get(path: string, body?: object, user?: { token: string }): Promise<never>
  getPath(id: string, user?: { token: string }): Promise<never>
}

/** Ellipsis Drive's own client library; it takes for granted that it runs in a browser. */
async function loadClient(): Promise<EllipsisApi> {
  Object.assign(globalThis, { self: globalThis })
  // @ts-expect-error the package has no types
  const module = (await import('ellipsis-js-util')) as { default: { EllipsisApi: EllipsisApi } }
  return module.default.EllipsisApi
}

t.test("Ellipsis Drive's own client library reads it", async (t) => {
  const running = await start(t)
  const api = await loadClient()
  api.setApiUrl(running.apiUrl)
  const user = { token: await accessToken(running) }
  t.match(await api.get('/account', undefined, user), { username: 'amelie' })

  const query = { type: ['folder', 'vector'], pageSize: 1 }
  const page = await api.get('/account/root/myDrive', { ...query }, user)
  const { result, nextPageStart } = page as { result: { id: string }[]; nextPageStart: string }
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
