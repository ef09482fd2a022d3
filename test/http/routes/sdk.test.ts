/** GET /sdk.js, and the adapters beside it. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { sdkModules } from '../../../server/assets.ts'
import { concatenateModules } from '../../../server/concatenate-modules.ts'
import { buildBroker } from '../../helper.ts'

/** Of the client, gzipped. */
const MAX_SIZE_BYTES = 5 * 1024

const root = join(import.meta.dirname, '../../..')
const importText = (source: string) =>
  import(`data:text/javascript,${encodeURIComponent(source)}`) as Promise<object>

t.test('modules for pages of any origin, and caches', async (t) => {
  const { url } = await buildBroker(t, { basePath: '/broker' })
  for (const path of Object.keys(sdkModules)) {
    const get = (query = '', headers = {}) =>
      fetch(`${url}/${path}${query}`, { headers: { origin: 'https://any.example', ...headers } })
    const answer = await get()
    t.equal(answer.status, 200, path)
    t.match(Object.fromEntries(answer.headers), {
      'content-type': 'text/javascript; charset=utf-8',
      'access-control-allow-origin': '*',
      'cache-control': 'public, max-age=300',
      'content-encoding': 'gzip',
      vary: 'Accept-Encoding',
    })
    const source = await answer.text()
    t.ok(Object.keys(await importText(source)).length > 0, 'a module')
    const plain = await get('', { 'accept-encoding': 'identity' })
    t.equal(plain.headers.get('content-encoding'), null)
    t.equal(await plain.text(), source)

    const etag = answer.headers.get('etag') ?? ''
    const again = await get('', { 'if-none-match': `W/${etag}` })
    t.equal(again.status, 304)
    t.equal(await again.text(), '')
    const hash = etag.replaceAll('"', '')
    t.equal(
      (await get(`?v=${hash}`)).headers.get('cache-control'),
      'public, max-age=31536000, immutable',
    )
    const other = await get('?v=other')
    t.equal(other.headers.get('cache-control'), 'public, max-age=300', 'of another version')
    t.equal((await fetch(`${url}/${path}`, { method: 'POST' })).status, 405)
    if (path !== 'sdk.js') continue
    const { length } = gzipSync(source, { level: 9 })
    t.ok(length <= MAX_SIZE_BYTES, `${length} bytes`)
    t.strictSame(Object.keys(await importText(source)), ['BrokerError', 'createClient'])
  }
})

t.test('without esbuild, the same exports', async (t) => {
  const { url } = await buildBroker(t)
  for (const [path, file] of Object.entries(sdkModules)) {
    const built = await importText(await (await fetch(`${url}/${path}`)).text())
    const concatenated = await importText(concatenateModules(join(root, file)))
    t.strictSame(Object.keys(concatenated), Object.keys(built), path)
  }
})
