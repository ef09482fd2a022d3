import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import type { Test } from 'tap'
import { command } from '../command.ts'
import { addApp, buildBroker, connect, exchange, freePort, scrape } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { temporaryFolder } from '../temporary.ts'
import { buildDrive } from './upstream.ts'

async function build(t: Test) {
  const directory = join(temporaryFolder(t), 'cache')
  const broker = await buildBroker(t, { env: { BROKER_CACHE_DIR: directory } })
  return { broker, directory, app: await addApp(broker) }
}

/** Asks for a tile through the cache, as the proxy does. */
async function getTile({ services }: TestBroker, connectionId: string): Promise<string> {
  const { driveCache } = services
  const request = {
    method: 'GET',
    path: { segments: ['tile'], path: '/tile', query: '' },
    headers: {},
    body: null,
    signal: new AbortController().signal,
  }
  const { body, cached } = await driveCache.fetch(connectionId, request, async () => ({
    status: 200,
    headers: { 'cache-control': 'max-age=600' },
    body: Readable.from([Buffer.from('tile')]),
  }))
  if (body) await buffer(body)
  await driveCache.settled()
  return cached
}

t.test('revoking or erasing a user empties their cache at once', async (t) => {
  const { broker, directory, app } = await build(t)
  const { connections } = broker.services
  for (const end of ['revoke', 'erase'] as const) {
    const { connectionId } = await connect(broker, app, {
      user: end === 'revoke' ? 'amelie' : 'bo',
    })
    t.equal(await getTile(broker, connectionId), 'miss')
    t.equal(await getTile(broker, connectionId), 'hit')
    t.ok(existsSync(join(directory, connectionId)))
    await connections[end](connectionId, 'test')
    t.notOk(existsSync(join(directory, connectionId)), end)
  }
  const text = await scrape(broker)
  for (const line of [
    'ellipsis_broker_drive_cache_requests_total{result="hit"} 2',
    'ellipsis_broker_drive_cache_requests_total{result="miss"} 2',
    'ellipsis_broker_drive_cache_served_bytes_total 8',
    'ellipsis_broker_drive_cache_evictions_total 0',
    'ellipsis_broker_drive_cache_bytes 0',
  ]) {
    t.ok(text.includes(line), line)
  }
})

t.test('what bulk work or another process revoked is found by the sweeper', async (t) => {
  const { broker, directory, app } = await build(t)
  const { store, clock, sweeper } = broker.services
  const revoked = await connect(broker, app, { user: 'amelie' })
  const live = await connect(broker, app, { user: 'bo' })
  for (const { connectionId } of [revoked, live]) await getTile(broker, connectionId)
  mkdirSync(join(directory, 'con_unknown'))
  writeFileSync(join(directory, 'con_unknown', 'x'), 'x')
  await store.revokeConnection({ id: revoked.connectionId, now: clock.now(), events: [] })
  sweeper.start()
  while (
    existsSync(join(directory, revoked.connectionId)) ||
    existsSync(join(directory, 'con_unknown'))
  )
    await new Promise((resolve) => setTimeout(resolve, 5))
  await sweeper.stop()
  t.equal(await getTile(broker, live.connectionId), 'hit')
})

t.test('the broker does not start with a directory of other files', async (t) => {
  const directory = temporaryFolder(t)
  writeFileSync(join(directory, 'thesis.txt'), 'years of work')
  const { code, stderr } = await command(['serve'], {
    ELLIPSIS_CLIENT_ID: 'id',
    ELLIPSIS_CLIENT_SECRET: 'secret',
    BROKER_PORT: String(await freePort()),
    BROKER_DATA_DIR: join(temporaryFolder(t), 'data'),
    BROKER_CACHE_DIR: directory,
  })
  t.equal(code, 2)
  t.equal(
    stderr,
    `BROKER_CACHE_DIR can’t be used: ${directory} holds other files, and the cache deletes its files.
Set it to an empty directory that the broker’s user can write to, or unset it.
`,
  )
  t.strictSame(readdirSync(directory), ['thesis.txt'])
})

t.test('a connection that Ellipsis Drive rejects gets no stored answers', async (t) => {
  const directory = join(temporaryFolder(t), 'cache')
  const { broker, upstream, brokerToken, get } = await buildDrive(
    t,
    (_request, response) => response.setHeader('cache-control', 'max-age=86400').end('tile'),
    { env: { BROKER_CACHE_DIR: directory } },
  )
  const read = async () => {
    const answer = await get('/tile')
    return { status: answer.status, text: await answer.text() }
  }
  for (let count = 0; count < 2; count++) {
    t.match(await read(), { status: 200, text: 'tile' })
    await broker.services.driveCache.settled()
  }
  t.equal(upstream.requests.length, 1, 'the second one is stored')
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', share: 1 })
  broker.clock.advance(2 * 3_600_000)
  t.match(await exchange(broker, brokerToken), { body: { error: 'reconnect_required' } })
  t.match(await read(), { status: 403, text: /reconnect_required/ })
})
