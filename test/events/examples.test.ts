/** Runs the programs of docs/events.md unchanged. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { EventType } from '../../db/store.ts'
import { createCommandSink } from '../../server/events/command-sink.ts'
import type { Message } from '../../server/events/message.ts'
import { codeBlock } from '../clients/code-block.ts'
import { PYTHON, runProgram, without } from '../clients/python.ts'
import { buildBroker, freePort, testClock } from '../helper.ts'
import { addOfflineApp, connectUser } from '../oauth/offline/begin.ts'
import { temporaryFolder } from '../temporary.ts'

const hasJq = spawnSync('jq', ['--version']).status === 0
const needsJq = { skip: !hasJq && 'jq is missing: apt-get install jq' }
const hasPython = spawnSync('python3', ['--version']).status === 0
const needsPython = { skip: !hasPython && 'python3 is missing' }

const messageOf = (type: EventType): Message => ({
  id: `evt_1_${type.length}`,
  type,
  timestamp: '2026-01-31T08:00:00.000Z',
  data: { connection_id: 'con_1', app_id: null, grant_id: null, external_id: null, sequence: 1 },
})

/** Delivers events to an example, as a file of its own; returns what each attempt said. */
async function deliver(t: Test, source: string, types: EventType[], path = process.env.PATH ?? '') {
  const program = join(temporaryFolder(t), 'program')
  writeFileSync(program, source)
  chmodSync(program, 0o755)
  const nothing = () => undefined
  const log = { info: nothing, warn: (details: object) => t.comment(details), error: nothing }
  const sink = createCommandSink({ program, environment: { PATH: path }, clock: testClock(), log })
  const { signal } = new AbortController()
  const attempts = []
  for (const type of types) attempts.push((await sink.deliver(messageOf(type), signal)).outcome)
  return attempts
}

t.test('the command that sends mail', needsJq, async (t) => {
  const folder = t.testdir({ mail: '#!/bin/sh\n{ echo "$*"; cat; } >> "$0.sent"\n' })
  chmodSync(join(folder, 'mail'), 0o755)
  const types: EventType[] = ['connection.revoked', 'upstream.down']
  const path = `${folder}:${process.env.PATH}`
  const source = codeBlock('../events', 'bash', 'A command')
  t.strictSame(await deliver(t, source, types, path), ['delivered', 'delivered'])
  const sent = readFileSync(join(folder, 'mail.sent'), 'utf8')
  t.match(sent, /^-s Ellipsis Broker: upstream.down ops@example.com\n\{.*\}\n$/)
})

t.test('the command that writes to a chat', needsPython, async (t) => {
  const received: string[] = []
  let status = 200
  const chat = createServer((request, response) => {
    request.setEncoding('utf8').on('data', (text: string) => received.push(text))
    request.on('end', () => response.writeHead(status).end())
  })
  await new Promise<void>((resolve) => chat.listen(0, '127.0.0.1', resolve))
  t.teardown(() => chat.close())
  const folder = t.testdir({ url: `http://127.0.0.1:${(chat.address() as AddressInfo).port}/\n` })
  const source = codeBlock('../events', 'python', 'A command').replace(
    '/etc/ellipsis-broker-chat-url',
    join(folder, 'url'),
  )
  const types: EventType[] = ['connection.revoked', 'connection.needs_reconnect']
  t.strictSame(await deliver(t, source, types), ['delivered', 'delivered'])
  t.strictSame(received, ['{"text": "connection.needs_reconnect con_1"}'])
  status = 500
  t.strictSame(await deliver(t, source, types), ['delivered', 'failed'])
})

t.test('the poller of the feed', needsJq, async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const cwd = t.testdir({})
  const { client_id: CLIENT_ID, client_secret: CLIENT_SECRET } = app.credentials
  const env = { BROKER: broker.url, CLIENT_ID, CLIENT_SECRET }
  const poll = async () => {
    const source = `set -euo pipefail\n${codeBlock('../events', 'bash', 'The feed')}`
    const { code, output } = await runProgram(['bash', '--norc', '-c', source], env, undefined, {
      cwd,
    })
    t.equal(code, 0, output)
    return output.split('\n').flatMap((line) => /"type":"([^"]+)"/.exec(line)?.[1] ?? [])
  }
  t.strictSame(await poll(), [])
  t.notOk(existsSync(join(cwd, 'last-event')))
  const { connectionId } = await connectUser(broker, app)
  t.strictSame(await poll(), ['connection.created', 'grant.created'])
  t.strictSame(await poll(), [])
  await broker.services.connections.revoke(connectionId, 'test')
  t.strictSame(await poll(), ['connection.revoked'])
})

/** The receivers of docs/events.md. */
const receivers = {
  js: { skip: false, command: [process.execPath, '--input-type=module', '--eval'] },
  python: { skip: without('cryptography'), command: [PYTHON, '-c'] },
} as const

for (const [language, { skip, command }] of Object.entries(receivers)) {
  t.test(`a receiver in ${language} verifies events`, { skip }, async (t) => {
    const broker = await buildBroker(t, { env: { BROKER_WEBHOOK_ALLOW: '127.0.0.0/8' } })
    const { webhooks, dispatcher, connections } = broker.services
    const port = await freePort()
    const url = `http://127.0.0.1:${port}/`
    const types: EventType[] = ['connection.revoked']
    const { webhook, signing } = await webhooks.add(
      { url, appId: null, types, signing: 'v1a' },
      'test',
    )
    const stop = new AbortController()
    t.teardown(() => stop.abort())
    const lines: string[] = []
    const env = { PORT: String(port), WEBHOOK_PUBLIC_KEY: signing.key.reveal() }
    const source = codeBlock('../events', language)
    const onLine = (line: string) => void (line.startsWith('connection.') && lines.push(line))
    const program = runProgram([...command, source], env, onLine, { signal: stop.signal })
    // It listens once it answers at all.
    const listens = () =>
      fetch(url, { method: 'POST', body: '{}' }).then(
        () => true,
        () => false,
      )
    while (!(await listens())) await broker.clock.sleep(50)

    const app = await addOfflineApp(broker)
    const expected: string[] = []
    for (const user of ['amelie', 'bo']) {
      const { connectionId } = await connectUser(broker, app, { user })
      await connections.revoke(connectionId, 'test')
      expected.push(`connection.revoked ${connectionId}`)
    }
    dispatcher.start()
    const delivered = async () => {
      const { rows } = await webhooks.listDeliveries(webhook.id, { cursor: null, limit: 9 })
      return rows.length === 2 && rows.every(({ status }) => status === 'delivered')
    }
    while (!(await delivered())) await broker.clock.sleep(50)
    const { rows } = await webhooks.listDeliveries(webhook.id, { cursor: null, limit: 9 })
    await webhooks.replay(webhook.id, rows[0]?.id ?? 0, 'test')
    while (!(await delivered())) await broker.clock.sleep(50)
    t.match(await webhooks.test(webhook.id, 'cli'), { outcome: 'delivered' })
    t.strictSame(lines.sort(), expected.sort(), 'each once, although one came twice')

    const forged = async (headers: Record<string, string>, body = '{}') =>
      (await fetch(url, { method: 'POST', body, headers })).status
    t.equal(await forged({}), 401)
    const now = String(Math.floor(Date.now() / 1000))
    const signature = `v1a,${Buffer.alloc(64).toString('base64')} v1a,x v1,x`
    const base = { 'webhook-id': 'evt_1_1', 'webhook-signature': signature }
    t.equal(await forged({ ...base, 'webhook-timestamp': now }), 401)
    // An hour later, the same key signs for a time that the receiver does not accept.
    broker.clock.advance(3_600_000)
    t.match(await webhooks.test(webhook.id, 'cli'), { outcome: 'failed', answer: 401 })
    stop.abort()
    await program
  })
}
