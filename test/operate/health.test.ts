import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { command } from '../command.ts'
import { temporaryFolder } from '../temporary.ts'

/** Runs `health` where a program gives this answer at the broker's port. */
async function healthBeside(t: Test, status: number, body: string) {
  const server = createServer((_request, response) => response.writeHead(status).end(body))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return command(['health'], { BROKER_PORT: String(port) })
}

t.test('what is not ready is told in words', async (t) => {
  const locked = JSON.stringify({ status: 'not ready', store: false, keys: true })
  const withoutKey = JSON.stringify({ status: 'not ready', store: true, keys: false })
  t.match(await healthBeside(t, 503, locked), {
    code: 1,
    stderr: / is not ready: its database can’t be written to\.\n/,
  })
  t.match(await healthBeside(t, 503, withoutKey), { code: 1, stderr: /it has no signing key/ })
})

t.test('another program at the port is not mistaken for a broker', async (t) => {
  for (const status of [200, 404, 503]) {
    const { code, stderr } = await healthBeside(t, status, '<h1>Another program</h1>')
    t.equal(code, 1, `${status}`)
    t.match(stderr, `answers with status ${status}, but not as a broker does`)
    t.notMatch(stderr, '<h1>')
  }
})

t.test('it asks at the port that --env-file names', async (t) => {
  const file = join(temporaryFolder(t), 'broker.env')
  writeFileSync(file, 'BROKER_PORT=1\n', { mode: 0o600 })
  const { code, stderr } = await command(['--env-file', file, 'health'], {})
  t.equal(code, 1)
  t.match(stderr, 'No broker answers at http://127.0.0.1:1/readyz')
})
