import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Secret } from '../../server/secret.ts'
import { command } from '../command.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { createKills, killRounds, outputOf } from '../kill.ts'
import { runCli } from '../processes.ts'
import { importLine, runImport } from './imports.ts'
import { swapAt } from './load.ts'
import { skipPauses } from '../clock.ts'
import { temporaryFolder } from '../temporary.ts'
import { listConnections } from '../db/rows.ts'

t.test('tokens are imported and verified one by one, and a run can be repeated', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always' } })
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const other = await addApp(broker, { name: 'Other' })
  const before = await connect(broker, app)
  const shared = broker.standIn.grant('shared')
  const file = join(temporaryFolder(t), 'tokens')
  const lines = [
    importLine(broker, 'ada', app.id),
    '',
    'no JSON',
    JSON.stringify({ account: 'x', refresh_token: '', app: app.id }),
    'null',
    importLine(broker, 'bob', 'app_none'),
    importLine(broker, 'eve', app.id, 'a token that never was'),
    importLine(broker, 'amelie', other.id),
    importLine(broker, 'shared', app.id, shared),
    importLine(broker, 'shared', other.id, shared),
    importLine(broker, 'someone else', app.id, broker.standIn.grant('mallory')),
  ]
  writeFileSync(file, lines.join('\n'))
  const first = await runImport(broker, file)
  const statuses = [
    'imported',
    'invalid',
    'invalid',
    'invalid',
    'no_app',
    'refused',
    'already',
    'imported',
    'imported',
    'mismatch',
  ]
  t.strictSame(
    first.results.map(({ status }) => status),
    statuses,
  )
  t.equal(first.code, 1)
  t.match(
    first.stderr,
    'Imported 3; 1 were already connected; 0 were duplicates of other lines; 6 were not imported (invalid 3, no_app 1, refused 1, mismatch 1)',
  )
  t.equal(first.results[6]?.connection_id, before.connectionId, 'an account has one connection')
  for (const index of [0, 6, 7, 8]) {
    t.equal(
      (await exchange(broker, first.results[index]?.broker_token ?? '')).status,
      200,
      `${index}`,
    )
  }
  const secrets = [shared, 'a token that never was']
  t.notOk(secrets.some((secret) => (first.stderr + JSON.stringify(first.results)).includes(secret)))

  const refreshes = broker.standIn.calls.refresh
  const second = await runImport(broker, file)
  t.strictSame(
    second.results.map(({ status }) => status),
    statuses.map((status) => (status === 'imported' ? 'already' : status)),
  )
  t.equal(second.results[0]?.broker_token, first.results[0]?.broker_token)
  t.equal(broker.standIn.calls.refresh, refreshes + 2, 'only the refused one is asked about again')
  const plain = await command(['connection', 'import', file], broker.env)
  t.match(plain.stdout, /line 1 {2}already {2}con_.*line 7 {2}refused/s)
  t.notMatch(plain.stdout, first.results[0]?.broker_token ?? '')
  writeFileSync(file, lines[0] ?? '')
  t.match(await runImport(broker, file), { code: 0, stderr: /Delete the file/ })
})

t.test('refused and duplicate lines are in the report, and in no list', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const { services, standIn } = broker
  const app = await addApp(broker)
  const file = join(temporaryFolder(t), 'tokens')
  const lines = [
    importLine(broker, 'ada', app.id),
    importLine(broker, 'eve', app.id, 'a token that never was'),
    importLine(broker, 'ada', app.id),
    importLine(broker, 'ada', app.id, standIn.grant('mallory')),
  ]
  writeFileSync(file, lines.join('\n'))
  const { code, stdout, stderr } = await command(['connection', 'import', file], broker.env)
  t.equal(code, 1)
  t.match(stdout, /^line 2 {2}refused {2}Ellipsis Drive rejected this refresh token$/m)
  t.match(stdout, /^line 3 {2}already {2}con_\S+ {2}duplicate: the same account as line 1$/m)
  t.match(
    stderr,
    'Imported 1; 0 were already connected; 1 were duplicates of other lines; 2 were not',
  )
  const listed = await listConnections(services.store)
  t.strictSame(
    listed.map(({ status }) => status),
    ['active', 'active'],
  )
  t.strictSame(
    listed.map(({ username }) => username).sort(),
    ['ada', 'mallory'],
    'the token of another account is not shown under the name on the line',
  )
  t.match(await services.store.countConnections(), { active: 2, revoked: 0 })
  for (const search of ['eve', 'ada']) {
    const list = await command(['connection', 'list', '--json', '--search', search], broker.env)
    t.notMatch(list.stdout, /revoked"/, search)
  }
  const { rows } = await services.store.listEvents({ filter: {}, limit: 20 })
  t.equal(rows.filter(({ action }) => action === 'connection.revoked').length, 0)
  t.equal(rows.filter(({ action }) => action === 'connection.import_ended').length, 2)
  const again = await command(['connection', 'import', file], broker.env)
  t.match(
    again.stdout,
    /^line 3 {2}already {2}con_\S+ {2}duplicate/m,
    'it is known in the next run',
  )
  t.equal((await listConnections(services.store)).length, 2)
})

/** Makes Ellipsis Drive reject the connection's refresh token, and the broker notice it. */
async function rejectAtEllipsis({ services, standIn }: TestBroker, id: string): Promise<void> {
  const connection = await services.store.getConnection(id)
  const sealed = connection?.refreshToken ?? new Uint8Array()
  standIn.revokeRefreshToken(
    services.vault.open(`connections/${id}/refresh_token`, sealed).reveal(),
  )
  await services.connections.refresh(id, 'test').catch(() => undefined)
  const { status } = (await services.store.getConnection(id)) ?? {}
  if (status !== 'needs_reconnect') throw new Error(`it is ${status}`)
}

t.test('a connection that needs to reconnect gets the working token of its account', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { connectionId, brokerToken } = await connect(broker, app)
  const { services, standIn } = broker
  await rejectAtEllipsis(broker, connectionId)
  const holding = {
    account: 'amelie',
    refreshToken: new Secret(standIn.grant('amelie')),
    appId: app.id,
  }
  t.match(await services.importer.importEntry(holding), { status: 'already', connectionId })
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.match(await services.importer.importEntry(holding), { status: 'already', connectionId })
})

t.test('a temporary rejection does not revoke an imported connection', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { importer, store } = broker.services
  const take = (refreshToken: Secret) =>
    importer.importEntry({ account: 'ada', refreshToken, appId: app.id })
  const refreshToken = new Secret(broker.standIn.grant('ada'))
  const first = await take(refreshToken)
  const [id, brokerToken] =
    'brokerToken' in first ? [first.connectionId, first.brokerToken?.reveal() ?? ''] : ['', '']
  t.equal((await exchange(broker, brokerToken)).status, 200)

  broker.clock.advance(2 * 3_600_000)
  // Each rejection is confirmed by a second call.
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 4 })
  t.match(await take(refreshToken), {
    status: 'refused',
    reason: `the token of ${id} at the moment; it is kept`,
  })
  t.match(await store.getConnection(id), { status: 'needs_reconnect', refreshToken: Uint8Array })
  t.match(await take(new Secret(broker.standIn.grant('bob'))), {
    reason: 'Ellipsis Drive rejected this refresh token',
  })
  const [ended] = (await store.listEvents({ limit: 1 })).rows
  t.match(ended, { action: 'connection.import_ended', details: /rejected this refresh token/ })
  const bob = await store.getConnection(ended?.connectionId ?? '')
  t.match(bob, { status: 'revoked', refreshToken: null }, 'one that never worked goes')
  t.equal((await listConnections(store)).length, 1, 'and is in no list')

  t.match(await take(refreshToken), { status: 'already', connectionId: id })
  t.equal((await exchange(broker, brokerToken)).status, 200)
})

t.test('a connection that is revoked during its import stays revoked', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { connectionId } = await connect(broker, app)
  const { importer, store } = broker.services
  await rejectAtEllipsis(broker, connectionId)
  const find = store.findConnection.bind(store)
  store.findConnection = async (accountId) => {
    const all = await listConnections(store)
    for (const { id } of all.filter((one) => one.id !== connectionId)) {
      await store.revokeConnection({ id, now: 1, events: [] })
    }
    return find(accountId)
  }
  const refreshToken = new Secret(broker.standIn.grant('amelie'))
  t.match(await importer.importEntry({ account: 'amelie', refreshToken, appId: app.id }), {
    status: 'already',
    connectionId,
  })
  t.match(await store.getConnection(connectionId), { status: 'needs_reconnect' })
})

t.test('an account without a printable name is shown by its id', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { importer, store } = broker.services
  const refreshToken = new Secret(broker.standIn.grant('\u200b'))
  const { id } = broker.standIn.addUser('\u200b')
  t.match(await importer.importEntry({ account: 'ada', refreshToken, appId: app.id }), {
    status: 'mismatch',
    reason: `the token belongs to ${id}, not to ada`,
  })
  t.match(await importer.importEntry({ account: id, refreshToken, appId: app.id }), {
    status: 'imported',
  })
  t.match(await store.findConnection(id), { username: id })
})

t.test('if Ellipsis Drive doesn’t provide the account, the line’s account is used', async (t) => {
  const broker = await buildBroker(t, { switches: { refuseAccount: true } })
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { importer, store } = broker.services
  const take = (account: string) =>
    importer.importEntry({
      account,
      refreshToken: new Secret(broker.standIn.grant('ada')),
      appId: app.id,
    })
  const first = await take('ada')
  t.match(first, { status: 'imported' })
  t.match(await take('ada'), {
    status: 'already',
    connectionId: 'connectionId' in first ? first.connectionId : '',
  })
  t.match(
    (await listConnections(store)).find(({ status }) => status === 'active'),
    {
      username: 'ada',
      accountId: null,
    },
  )
})

t.test('a connection whose account is known only in a later run keeps its grants', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { connectionId, brokerToken } = await connect(broker, app)
  const { importer, store } = broker.services
  const refreshToken = new Secret(broker.standIn.grant('amelie'))
  const holding = { account: 'amelie', refreshToken, appId: app.id }
  broker.standIn.addFault({ endpoint: 'account', kind: 'status', status: 503, times: 3 })
  const first = await importer.importEntry(holding)
  t.match(first, { status: 'imported', brokerToken: Secret })
  const own = 'connectionId' in first ? first.connectionId : ''
  t.not(own, connectionId)
  t.match(await importer.importEntry(holding), { status: 'already', connectionId: own })
  const given = 'brokerToken' in first ? (first.brokerToken?.reveal() ?? '') : ''
  for (const token of [given, brokerToken]) t.equal((await exchange(broker, token)).status, 200)
  t.match(await store.getConnection(own), { accountId: null, status: 'active' })
})

t.test('a revoked connection stays revoked when it is imported again', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { importer, store } = broker.services
  const holding = (account: string) => {
    const refreshToken = new Secret(broker.standIn.grant(account))
    return { account, refreshToken, appId: app.id }
  }
  const [ada, bob] = [holding('ada'), holding('bob')]
  const first = await importer.importEntry(ada)
  t.match(first, { status: 'imported', brokerToken: Secret })
  const connectionId = 'connectionId' in first ? first.connectionId : ''
  const [grant] = await store.listGrants(connectionId)
  await store.revokeGrants({ id: grant?.id ?? '', now: 1, events: [] })
  t.match(await importer.importEntry(ada), { status: 'already', connectionId, brokerToken: null })
  const file = join(temporaryFolder(t), 'tokens')
  writeFileSync(file, importLine(broker, 'ada', app.id, ada.refreshToken.reveal()))
  const again = { status: 'already', connection_id: connectionId, broker_token: null }
  t.match(await runImport(broker, file), { code: 0, results: [again] })
  const at = broker.clock.now()
  const event = { at, actor: 'cli', action: 'connection.revoked', connectionId }
  await store.revokeConnection({ id: connectionId, now: 1, events: [event] })
  t.match(await importer.importEntry(ada), { status: 'refused', reason: 'it was revoked here' })
  store.identifyConnection = async () => false
  await t.rejects(importer.importEntry(bob), /kept changing while it was imported/)
})

t.test('an import killed at any point and run again loses no token', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always', tokenDelay: 20 } })
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const folder = temporaryFolder(t)
  const kills = createKills(t)
  for (let round = 0; round < killRounds; round++) {
    const names = Array.from({ length: 8 }, (_, index) => `user${round}-${index}`)
    const file = join(folder, `${round}`)
    writeFileSync(file, names.map((name) => importLine(broker, name, app.id)).join('\n'))
    const { calls } = broker.standIn
    const before = calls.refresh
    const child = runCli(['connection', 'import', file, '--json'], broker.env)
    const output = outputOf(child)
    const isReported = (count: number) => () => output().split('\n').length > count
    const isRequested = (count: number) => () => calls.refresh >= before + count
    const some = kills.random.between(1, names.length - 1)
    const points = [
      { name: 'a token is being verified', reached: isRequested(some), laterByMs: 20 },
      { name: 'some are reported', reached: isReported(some), laterByMs: 10 },
      { name: 'the last is being verified', reached: isRequested(names.length), laterByMs: 20 },
      { name: 'the first is being verified', reached: isRequested(1) },
    ]
    const point = points[round % points.length]
    if (point) await kills.at(child, point)
    const { results } = await runImport(broker, file)
    t.equal(results.length, names.length)
    // At most one can be lost: the one whose rotated token was in transit when the process was killed.
    const lost = results.filter(({ status }) => status !== 'imported' && status !== 'already')
    t.ok(lost.length <= 1, JSON.stringify(lost))
    const good = results.filter(({ broker_token: token }) => token)
    for (const { broker_token: token } of good) t.equal(await swapAt(broker.url, token), 200)
    t.equal(new Set(good.map(({ connection_id: id }) => id)).size, good.length)
  }
  kills.check()
})
