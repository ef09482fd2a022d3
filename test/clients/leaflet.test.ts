/** Runs the commands of docs/connect/leaflet.md. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import { temporaryFolder } from '../temporary.ts'
import { codeBlock } from './code-block.ts'

const TILES = '/path/7/raster/timestamp/9/tile/{z}/{x}/{y}'

t.test('curl creates a link with placeholders for a Leaflet page', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken, grantId } = await connect(broker, await addApp(broker))
  const home = temporaryFolder(t)
  writeFileSync(join(home, '.ellipsis-broker-token'), `${brokerToken}\n`)
  const env = { ...process.env, HOME: home, BROKER: broker.url, TILES }
  const bash = promisify(execFile)('bash', ['-c', codeBlock('leaflet', 'bash')], { env })
  const { url } = JSON.parse((await bash).stdout) as { url: string }
  t.ok(url.endsWith(TILES))
  t.match(codeBlock('leaflet', 'html'), 'L.tileLayer(')
  const read = async () => (await fetch(url.replace('{z}/{x}/{y}', '7/65/42'))).text()
  t.notMatch(await read(), 'There is no such link', 'an answer of Ellipsis Drive')
  await broker.services.connections.revokeGrant(grantId, 'cli')
  t.match(await read(), 'There is no such link')
})
