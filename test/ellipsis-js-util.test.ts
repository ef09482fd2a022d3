import t from 'tap'
import { addApp, buildBroker, connect, exchange } from './helper.ts'

/** It comes without types. */
interface Library {
  EllipsisApi: {
    setApiUrl(url: string): void
    get(url: string, body: object, options: { token: string }): Promise<unknown>
    getPath(id: string, options: { token: string }): Promise<unknown>
  }
}

t.test('ellipsis-js-util reads the drive with the swapped token', async (t) => {
  // It is made for browsers, and looks for their global object.
  Object.assign(globalThis, { self: globalThis })
  // @ts-expect-error the package has no types
  const { EllipsisApi } = (await import('ellipsis-js-util')).default as unknown as Library
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const { body } = await exchange(broker, brokerToken)
  const options = { token: String(body.access_token) }
  EllipsisApi.setApiUrl(broker.env.ELLIPSIS_API_URL ?? '')
  const type = JSON.stringify(['folder', 'raster', 'vector'])
  const drive = (await EllipsisApi.get(
    '/account/root/myDrive',
    { type, pageSize: 50 },
    options,
  )) as { result: { id: string; name: string; type: string }[] }
  const folder = drive.result.find((path) => path.type === 'folder')
  t.ok(folder, 'there is a folder')
  const path = (await EllipsisApi.getPath(folder?.id ?? '', options)) as { name: string }
  t.equal(path.name, folder?.name)
})
