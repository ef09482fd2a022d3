import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { command } from '../command.ts'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import { cli } from '../processes.ts'

t.test('connections: list, show, refresh and revoke while a broker runs', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken, connectionId } = await connect(broker, app)
  const run = (...args: string[]) => command(['connection', ...args], broker.env)

  t.match(await run('list'), { code: 0, stdout: /amelie\s+active/ })
  const status = ['--status', 'active', '--app', app.id, '--json']
  t.equal((JSON.parse((await run('list', ...status)).stdout) as []).length, 1)
  t.match(await run('list', '--status', 'revoked'), { stdout: /No connections found/ })
  t.match(await run('show', connectionId), { stdout: /Devices.*Firefox on Linux.*Latest events/s })
  t.match(JSON.parse((await run('show', connectionId, '--json')).stdout), {
    username: 'amelie',
    grants: [{ client_id: app.id, device: 'Firefox on Linux' }],
    events: Array,
  })
  t.match(await run('refresh', connectionId), { code: 0, stdout: /Refreshed/ })
  t.equal(broker.standIn.calls.refresh, 1)
  const client = broker.standIn.clients[0] ?? { secret: '' }
  const { secret } = client
  client.secret = 'another'
  t.match(await run('refresh', connectionId), {
    code: 1,
    stderr: /^Ellipsis Drive rejects this broker’s own client\.\nCheck ELLIPSIS_CLIENT_ID/m,
  })
  client.secret = secret
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 5 })
  t.match(await run('refresh', connectionId), {
    code: 1,
    stderr: /^The user of con_.* must connect again: Ellipsis Drive refused/m,
  })

  t.match(await run('revoke', connectionId, '--app', 'app_typo'), {
    code: 2,
    stderr: /^There is no app app_typo\.$/m,
  })
  const revoke = ['connection', 'revoke', connectionId, '--app', app.id]
  t.match(await cli(revoke, broker.env), {
    code: 0,
    stdout: /Revoked 1 grant of/,
  })
  t.equal((await exchange(broker, brokerToken)).status, 401)
  t.match(await run(...revoke.slice(1)), { code: 0, stdout: /Revoked 0 grants of/ })
  t.match(await run('revoke', connectionId), { code: 0, stdout: /0 grants.*erased/s })
  t.match(await run('show', connectionId), {
    stdout: /Devices.*Firefox on Linux .*revoked\n.*Latest events.*cli +app\.grants_revoked *\n/s,
  })
  t.match(await run('erase', connectionId), { code: 0, stdout: /erased its personal data/ })
  t.match(await run('list', '--status', 'revoked'), { stdout: /\(unknown\)/ })
})

t.test('revoke says when the tokens are not erased from the log yet', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const reader = new Database(join(broker.dataDir, 'broker.db'))
  t.teardown(() => reader.close())
  reader.exec('begin; select * from connections')
  const revoke = ['connection', 'revoke', connectionId]
  t.match(await command(revoke, broker.env), { code: 0, stdout: /log is not truncated yet/ })
  reader.exec('rollback')
  t.match(await command(revoke, broker.env), { code: 0, stdout: /tokens are erased/ })
})

t.test('a hostile username cannot control the terminal', async (t) => {
  const broker = await buildBroker(t)
  broker.standIn.addUser('\u001b[31mred')
  await connect(broker, await addApp(broker))
  const { stdout } = await command(['connection', 'list'], broker.env)
  t.notMatch(stdout, '\u001b')
})
