import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { CHECK_INTERVAL_MS, createTransfers } from '../../server/drive/transfers.ts'
import { BrokerError } from '../../server/errors.ts'
import { closeWithTimeout } from '../../server/http/plugins/time-limits.ts'
import { testClock } from '../clock.ts'
import { exchange } from '../helper.ts'
import { openUpload } from './transfer.ts'
import { buildDrive } from './upstream.ts'
import type { DriveTest } from './upstream.ts'

const ACTOR = 'test'

/** Sends a piece every few milliseconds, for ever. */
function drip(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': '1000000000' })
  const timer = setInterval(() => response.write('x'.repeat(1000)), 20)
  response.on('close', () => clearInterval(timer))
}

/** Reads until the transfer ends. Resolves with `end` or `cut`. */
async function readToEnd(answer: Response): Promise<'end' | 'cut'> {
  try {
    await answer.arrayBuffer()
    return 'end'
  } catch {
    return 'cut'
  }
}

t.test('a transfer ends within a second of its revocation', async (t) => {
  const revocations: Record<string, (test: DriveTest) => Promise<unknown>> = {
    grant: ({ broker, grantId }) => broker.services.connections.revokeGrant(grantId, ACTOR),
    connection: ({ broker, connectionId }) =>
      broker.services.connections.revoke(connectionId, ACTOR),
    app: ({ broker, app }) => broker.services.apps.remove(app.id, 'test'),
    policy: ({ broker, app }) =>
      broker.services.apps.set(app.id, { access: 'proxy', allow: ['GET /other'] }, 'test'),
  }
  for (const [title, revoke] of Object.entries(revocations)) {
    await t.test(`download, ${title}`, async (t) => {
      const drive = await buildDrive(t, (_request, response) => drip(response))
      const answer = await drive.get('/file')
      const cut = readToEnd(answer)
      await drive.broker.clock.sleep(600)
      await revoke(drive)
      const revokedAt = performance.now()
      t.equal(await cut, 'cut')
      t.ok(performance.now() - revokedAt < 1000)
      await waitUntil(() => drive.upstream.requests.every((request) => request.destroyed))
    })
  }

  await t.test('upload', async (t) => {
    const drive = await buildDrive(t, (request) => request.resume())
    const { request, answered } = openUpload(drive, {})
    const timer = setInterval(() => request.write('x'.repeat(1000)), 20)
    t.teardown(() => clearInterval(timer))
    await drive.broker.clock.sleep(600)
    await drive.broker.services.connections.revokeGrant(drive.grantId, ACTOR)
    const revokedAt = performance.now()
    t.match(await answered, { status: 401, body: /invalid_token/ })
    t.ok(performance.now() - revokedAt < 1000)
    await waitUntil(() => drive.upstream.requests[0]?.destroyed === true)
  })
})

t.test('access that ends while the broker refreshes a token sends nothing more', async (t) => {
  const ends: Record<string, (test: DriveTest) => Promise<unknown>> = {
    grant: ({ broker, grantId }) => broker.services.connections.revokeGrant(grantId, ACTOR),
    policy: ({ broker, app }) =>
      broker.services.apps.set(app.id, { access: 'proxy', allow: ['GET /other'] }, ACTOR),
  }
  for (const [title, end] of Object.entries(ends)) {
    for (const refused of [false, true]) {
      await t.test(`${title}, ${refused ? 'after a 401' : 'before the request'}`, async (t) => {
        const drive = await buildDrive(t, (_request, response) =>
          response.writeHead(refused ? 401 : 200).end('answer'),
        )
        const { broker, upstream, get } = drive
        // Answers of Ellipsis Drive's OAuth come after the end of the access.
        const pass = upstream.handle
        upstream.handle = async (request, response) => {
          if (request.url?.startsWith('/v3/oauth')) await end(drive)
          await pass(request, response)
        }
        if (!refused) broker.clock.advance(2 * 3_600_000)
        const answer = await get('/file')
        t.equal(answer.status, title === 'grant' ? 401 : 403)
        t.ok(answer.headers.get('ellipsis-broker-error'))
        t.equal(upstream.requests.length, refused ? 1 : 0)
      })
    }
  }
})

t.test('a busy store ends no transfer; a client that has left ends it at once', async (t) => {
  const clock = testClock({ frozen: true })
  const transfers = createTransfers(clock)
  let error: Error = new Error('database is locked')
  let checks = 0
  const check = async () => {
    checks++
    throw error
  }
  const transfer = transfers.begin(check, new AbortController().signal)
  const nextRound = async () => {
    await clock.asleep(CHECK_INTERVAL_MS)
    clock.advance(CHECK_INTERVAL_MS)
    await clock.asleep(CHECK_INTERVAL_MS)
  }
  for (let round = 0; round < 3; round++) await nextRound()
  t.equal(checks, 2, 'a new transfer is not checked in its first round')
  t.equal(transfer.signal.aborted, false)
  error = new BrokerError('token_refused')
  await nextRound()
  t.equal(transfer.signal.reason, error)

  const reason = new Error('the client left')
  const left = transfers.begin(check, AbortSignal.abort(reason))
  t.equal(left.signal.reason, reason)
  transfer.end()
  left.end()
  clock.advance(CHECK_INTERVAL_MS)
})

t.test('a client that leaves ends the call of Ellipsis Drive', async (t) => {
  const drive = await buildDrive(t, (request, response) => {
    if (request.url?.endsWith('/silent')) return
    drip(response)
  })
  const leave = new AbortController()
  const answer = await drive.get('/file', { signal: leave.signal })
  void readToEnd(answer)
  leave.abort()
  await waitUntil(() => drive.upstream.requests[0]?.destroyed === true)

  const second = new AbortController()
  const pending = drive.get('/silent', { signal: second.signal }).catch(() => 'left')
  await waitUntil(() => drive.upstream.requests.length === 2)
  second.abort()
  t.equal(await pending, 'left')
  await waitUntil(() => drive.upstream.requests[1]?.destroyed === true)
})

t.test('an answer that breaks off is cut for the client, too', async (t) => {
  const drive = await buildDrive(t, (_request, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('half')
    setTimeout(() => response.destroy(), 50)
  })
  t.equal(await readToEnd(await drive.get('/file')), 'cut')
  const chunked = await buildDrive(t, (_request, response) => {
    response.write('half')
    setTimeout(() => response.destroy(), 50)
  })
  t.equal(await readToEnd(await chunked.get('/file')), 'cut')
})

t.test('back-pressure: a client that reads nothing stops Ellipsis Drive', async (t) => {
  let sent = 0
  const drive = await buildDrive(t, async (_request, response) => {
    const piece = Buffer.alloc(1024 * 1024)
    response.writeHead(200)
    while (!response.destroyed && sent < 400) {
      sent++
      if (!response.write(piece)) await once(response, 'drain').catch(() => undefined)
    }
    response.end()
  })
  const { hostname, port } = new URL(drive.broker.url)
  const client = httpRequest({ hostname, port, path: '/drive/file', headers: drive.bearer })
  client.end()
  const [answer] = (await once(client, 'response')) as [NodeJS.ReadableStream]
  answer.pause()
  await drive.broker.clock.sleep(700)
  const stoppedAt = sent
  await drive.broker.clock.sleep(300)
  t.ok(stoppedAt < 100, `${stoppedAt} MiB fill the buffers of the sockets`)
  t.equal(sent, stoppedAt)
  client.destroy()
})

t.test('a shutdown does not wait for a transfer', async (t) => {
  const drive = await buildDrive(t, (_request, response) => drip(response))
  const cut = readToEnd(await drive.get('/file'))
  const beganAt = performance.now()
  await closeWithTimeout(drive.broker.app, 300)
  t.ok(performance.now() - beganAt < 2000)
  t.equal(await cut, 'cut')
})

t.test('Ellipsis Drive is down: 503, and then the circuit breaker', async (t) => {
  const drive = await buildDrive(t, (request) => request.socket.destroy())
  const answers: Response[] = []
  for (let count = 0; count < 12; count++) answers.push(await drive.get('/file'))
  for (const answer of answers) {
    t.equal(answer.status, 503)
    t.ok(answer.headers.get('retry-after'))
    t.match(await answer.json(), { error: 'temporarily_unavailable' })
  }
  t.equal(drive.upstream.requests.length, 10, 'then it gets no more calls')
  t.equal((await exchange(drive.broker, drive.brokerToken)).status, 200, 'exchanges go on')
})

t.test('errors of single requests open no circuit breaker', async (t) => {
  const drive = await buildDrive(t, (request, response) => {
    response.writeHead(Number(request.url?.split('/').at(-1)), { 'retry-after': '9' }).end('{}')
  })
  for (let count = 0; count < 12; count++) await (await drive.get('/500')).text()
  for (let count = 0; count < 3; count++) await (await drive.get('/429')).text()
  t.equal((await drive.get('/200')).status, 200)
})

async function waitUntil(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 10))
}
