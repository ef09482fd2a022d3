import { appendFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Secret } from '../../server/secret.ts'
import { command } from '../command.ts'
import { addApp, buildBroker, exchange } from '../helper.ts'
import { importLine, runImport } from './imports.ts'
import { skipPauses } from '../clock.ts'
import { size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'
import { listConnections } from '../db/rows.ts'

t.test('tokens that were rejected for a while are imported by the next run', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const file = join(temporaryFolder(t), 'tokens')
  const names = Array.from({ length: 8 }, (_, index) => `user${index}`)
  writeFileSync(file, names.map((name) => importLine(broker, name, app.id)).join('\n'))
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', share: 1 })
  const first = await runImport(broker, file)
  t.equal(first.code, 1)
  for (const [index, { status, reason }] of first.results.entries()) {
    t.equal(status, index < 4 ? 'refused' : 'failed')
    t.match(reason, index < 4 ? 'rejected this refresh token' : 'rejects one token after another')
  }
  broker.standIn.clearFaults()
  const { code, results } = await runImport(broker, file)
  t.equal(code, 0)
  t.ok(results.every(({ status }) => status === 'imported'))
  for (const { broker_token: token } of results) {
    t.equal((await exchange(broker, token)).status, 200)
  }
})

t.test('a line that is too long is reported, and the following lines are read', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const file = join(temporaryFolder(t), 'tokens')
  const lines = [
    `\uFEFF${importLine(broker, 'ada', app.id)}\r`,
    importLine(broker, 'eve', app.id, 'x'.repeat(20_000)),
    importLine(broker, 'eve', app.id, 'é'.repeat(4096)),
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  // A sparse hole; in the long run, longer than a string can be.
  truncateSync(file, statSync(file).size + size(20e6, 600e6))
  appendFileSync(file, `\n${importLine(broker, 'bob', app.id)}`)
  const { code, results } = await runImport(broker, file)
  t.equal(code, 1)
  t.match(results, [
    { line: 1, status: 'imported' },
    { line: 2, status: 'invalid', reason: /refresh_token is longer/ },
    { line: 3, status: 'refused' },
    { line: 4, status: 'invalid', reason: 'the line is too long' },
    { line: 5, status: 'imported' },
  ])
})

t.test('a token waits while the erasure of an earlier run is pending', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { importer, store } = broker.services
  const refreshToken = new Secret(broker.standIn.grant('ada'))
  const holding = { account: 'ada', refreshToken, appId: app.id }
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
  t.match(await importer.importEntry(holding), { status: 'refused' })
  const purge = store.purge.bind(store)
  store.purge = async () => 'blocked'
  t.match(await importer.importEntry(holding), {
    status: 'failed',
    reason: /erasure of an earlier attempt is still pending/,
  })
  store.purge = purge
  t.match(await importer.importEntry(holding), { status: 'imported' })
})

t.test('a revocation during the import is reported, and an unknown error is thrown', async (t) => {
  const broker = await buildBroker(t, { switches: { tokenDelay: 500 } })
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const { importer, store, refresher } = broker.services
  const holding = (account: string) => {
    const refreshToken = new Secret(broker.standIn.grant(account))
    return { account, refreshToken, appId: app.id }
  }
  const taken = importer.importEntry(holding('ada'))
  while (broker.standIn.calls.refresh === 0) await broker.clock.sleep(10)
  const [stored] = await listConnections(store)
  await store.revokeConnection({ id: stored?.id ?? '', now: 1, events: [] })
  t.match(await taken, { status: 'failed', reason: 'it was revoked here in the meantime' })
  refresher.get = () => Promise.reject(new Error('a fault'))
  await t.rejects(importer.importEntry(holding('bob')), /a fault/)
})

t.test('an outage is not a rejection, and a rejected client ends the run', async (t) => {
  const broker = await buildBroker(t)
  skipPauses(broker.clock)
  const app = await addApp(broker)
  const file = join(temporaryFolder(t), 'tokens')
  writeFileSync(file, importLine(broker, 'ada', app.id))
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 3 })
  const { importer } = broker.services
  const holding = {
    account: 'bob',
    refreshToken: new Secret(broker.standIn.grant('bob')),
    appId: app.id,
  }
  const bound = await addApp(broker, { name: 'Bound', dpop: 'required' })
  t.match(await importer.importEntry({ ...holding, appId: bound.id }), { reason: /requires DPoP/ })
  t.match(await importer.importEntry(holding), { status: 'failed' })
  t.match(await importer.importEntry(holding), { status: 'imported' })
  const wrong = { ...broker.env, ELLIPSIS_CLIENT_SECRET: 'wrong' }
  t.match(await command(['connection', 'import', file], wrong), {
    code: 1,
    stderr: /rejects this broker’s own client/,
  })
  const none = await command(['connection', 'import', `${file}.none`], broker.env)
  t.match(none, { code: 2, stderr: /can’t be read/ })
})

t.test(
  'a mistyped client is fixed by changing the setting, and leaves nothing behind',
  async (t) => {
    const broker = await buildBroker(t)
    skipPauses(broker.clock)
    const app = await addApp(broker)
    const lines = ['ada', 'bob'].map((name) => importLine(broker, name, app.id))
    const file = join(temporaryFolder(t), 'tokens')
    writeFileSync(file, lines.join('\n'))
    const env = { ...broker.env, BROKER_DATA_DIR: temporaryFolder(t) }
    const added = ['app', 'add', 'Map', '--redirect-uri', 'https://app.example.com/', '--json']
    const { client_id: id } = JSON.parse((await command(added, env)).stdout) as {
      client_id: string
    }
    writeFileSync(file, lines.join('\n').replaceAll(app.id, id))
    const import_ = (more: Record<string, string> = {}) =>
      command(['connection', 'import', file], { ...env, ...more })
    const list = async () =>
      JSON.parse((await command(['connection', 'list', '--json'], env)).stdout) as object
    t.match(await import_({ ELLIPSIS_CLIENT_ID: 'typo' }), {
      code: 1,
      stderr: /Check ELLIPSIS_CLIENT/,
    })
    t.same(await list(), [])
    // A connection that was never verified, because Ellipsis Drive was down.
    broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, share: 1 })
    t.match(await import_({ ELLIPSIS_CLIENT_ID: 'another typo' }), {
      code: 1,
      stdout: /failed.*503/,
    })
    broker.standIn.clearFaults()
    t.match(await import_(), { code: 0, stderr: /Imported 2/ })
    t.match(await list(), { length: 2 })
    t.match(await import_({ ELLIPSIS_CLIENT_ID: 'typo' }), {
      code: 2,
      stderr: /must then connect again/,
    })
  },
)
