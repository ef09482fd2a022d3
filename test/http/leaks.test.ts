import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import {
  addApp,
  addAppWithSecret,
  authorize,
  buildBroker,
  connect,
  exchange,
  postForm,
} from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Secret } from '../../server/secret.ts'

/** Every file of the data directory except the key file, which opens the others. */
async function dataFiles({ dataDir }: TestBroker): Promise<Map<string, Buffer>> {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name !== 'secret.key')
  const paths = files.map(({ parentPath, name }) => join(parentPath, name))
  const pairs = paths.map(async (path) => [path, await readFile(path)] as const)
  return new Map(await Promise.all(pairs))
}

t.test('no secret in plain text in any file, in the log, or where it doesn’t belong', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  const { services, standIn, logged } = broker
  const secrets = new Set<string>([broker.env.ELLIPSIS_CLIENT_SECRET ?? ''])

  const app = await addApp(broker)
  const { returned, verifier } = await authorize(broker, app)
  secrets.add(returned.searchParams.get('code') ?? '').add(verifier)
  const { brokerToken } = await connect(broker, app)
  secrets.add(brokerToken)
  const { app: server, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  secrets.add(clientSecret?.reveal() ?? '')
  await services.admins.add('admin@example.com', new Secret('a long enough password'), 'test')
  secrets.add('a long enough password')

  // Normal use, and every kind of error. The log level is trace.
  await exchange(broker, brokerToken)
  for (let round = 0; round < 3; round++) {
    broker.clock.advance(3_590_000)
    await exchange(broker, brokerToken)
  }
  const answers: unknown[] = []
  const faultKinds = ['garbage', 'html', 'cut-before', 'invalid_client'] as const
  for (const kind of faultKinds) {
    broker.clock.advance(3_590_000)
    standIn.addFault({ endpoint: 'refresh', kind, times: 1 })
    const { status, body } = await exchange(broker, brokerToken)
    if (status !== 200) answers.push(body)
    broker.clock.advance(60_000)
    await exchange(broker, brokerToken)
  }
  await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: server.id,
    client_secret: clientSecret?.reveal() ?? '',
    code: returned.searchParams.get('code') ?? '',
    code_verifier: verifier,
  }).then(({ body }) => answers.push(body))
  const malformedBody = `{"min_ttl": "${brokerToken}`
  const json = { 'content-type': 'application/json' }
  const malformed = await fetch(`${broker.url}/exchange`, {
    method: 'POST',
    headers: json,
    body: malformedBody,
  })
  answers.push(await malformed.json())
  await fetch(`${broker.url}/callback?code=${verifier}&state=${verifier}`)
  await fetch(`${broker.url}/exchange?token=${brokerToken}`)

  for (const issued of standIn.issued()) secrets.add(issued)
  secrets.delete('')
  t.ok(secrets.size > 12, `${secrets.size} secrets were used`)
  const files = await dataFiles(broker)
  t.ok(files.size >= 2)
  const places = new Map([
    ...[...files].map(([name, bytes]) => [name, bytes.toString('latin1')] as const),
    ['the log', logged.join('')],
    ['error answers', JSON.stringify(answers)],
  ])
  t.ok(logged.length > 10)
  for (const [place, text] of places) {
    const found = [...secrets].filter((secret) => text.includes(secret))
    t.equal(found.length, 0, `${place}: ${found.length} of ${secrets.size}`)
  }
})

t.test('revocation removes the sealed bytes from every file', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  const { services } = broker
  const app = await addApp(broker)
  const { brokerToken, connectionId } = await connect(broker, app)
  const other = await connect(broker, app, { user: 'bo' })
  const sealed: Buffer[] = []
  for (let round = 0; round < 3; round++) {
    broker.clock.advance(3_590_000)
    await exchange(broker, brokerToken)
    const { connection } = await services.connections.show(connectionId)
    const values = [
      connection.refreshToken,
      connection.previousRefreshToken,
      connection.accessToken,
    ]
    for (const value of values) if (value) sealed.push(Buffer.from(value).subarray(21, 85))
  }
  const inFiles = async (part: Buffer) =>
    [...(await dataFiles(broker)).values()].some((bytes) => bytes.includes(part))
  t.ok(await inFiles(sealed.at(-1) ?? Buffer.alloc(0)), 'the files contain it before')

  t.match(await services.connections.revoke(connectionId, 'test'), { erased: true })
  t.equal(sealed.length, 9)
  for (const part of sealed) t.notOk(await inFiles(part))
  t.equal((await exchange(broker, other.brokerToken)).status, 200)
  const { connection } = await services.connections.show(connectionId)
  t.match(connection, {
    status: 'revoked',
    refreshToken: null,
    accessToken: null,
    erasedAt: Number,
  })
})
