/** Programs that are not browsers: GDAL reads through a link, curl uploads through the proxy. */
import { execFile, spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import type { TestBroker } from '../helper.ts'

const run = promisify(execFile)
const isInstalled = (program: string): boolean =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
const noGdal: string | false =
  !isInstalled('gdalinfo') && 'GDAL is missing: apt-get install gdal-bin'

interface Item {
  id: string
  name: string
}

async function callBroker(
  { url }: TestBroker,
  token: string,
  path: string,
  body?: object,
): Promise<Record<string, unknown>> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const init = body ? { method: 'POST', body: JSON.stringify(body) } : {}
  const response = await fetch(url + path, { ...init, headers })
  return (await response.json()) as Record<string, unknown>
}

t.test('GDAL reads a GeoTIFF through a link, by ranges', { skip: noGdal }, async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { access: 'proxy', readOnly: true })
  const { brokerToken } = await connect(broker, app)
  const root = await callBroker(broker, brokerToken, '/drive/account/root/myDrive?type=["file"]')
  const file = (root.result as Item[]).find(({ name }) => name.endsWith('.tif'))
  t.ok(file, 'there is a GeoTIFF')
  const { url } = await callBroker(broker, brokerToken, '/links', {
    path: `/path/${file?.id}/file/data`,
  })
  const folder = t.testdir()
  const env = { ...process.env, GDAL_DISABLE_READDIR_ON_OPEN: 'EMPTY_DIR' }
  const info = await run('gdalinfo', ['-json', `/vsicurl/${String(url)}`], { env })
  const { driverShortName, size, coordinateSystem } = JSON.parse(info.stdout) as {
    driverShortName: string
    size: number[]
    coordinateSystem: { wkt: string }
  }
  t.equal(driverShortName, 'GTiff')
  t.match(coordinateSystem.wkt, 'Pseudo-Mercator')
  const output = join(folder, 'part.png')
  const window = ['-srcwin', '0', '0', String(Math.min(64, size[0] ?? 0)), '64']
  await run('gdal_translate', ['-of', 'PNG', ...window, `/vsicurl/${String(url)}`, output], { env })
  t.equal((await readFile(output)).subarray(1, 4).toString(), 'PNG')
})

t.test('curl uploads and downloads through the proxy', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken } = await connect(broker, await addApp(broker, { access: 'proxy' }))
  const folder = t.testdir()
  const sent = join(folder, 'sent.bin')
  await writeFile(sent, Buffer.alloc(3_000_000, 'terrain'))
  const header = join(folder, 'header')
  await writeFile(header, `authorization: Bearer ${brokerToken}\n`)
  const common = ['--silent', '--show-error', '--fail-with-body', '--header', `@${header}`]
  const form = ['--form', 'name=sent.bin', '--form', `data=@${sent}`]
  const answer = await run('curl', [...common, ...form, `${broker.url}/drive/path/file`])
  const { id } = JSON.parse(answer.stdout) as Item
  const received = join(folder, 'received.bin')
  await run('curl', [...common, '--output', received, `${broker.url}/drive/path/${id}/file/data`])
  t.ok((await readFile(received)).equals(await readFile(sent)))
})
