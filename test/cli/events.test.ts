import { once } from 'node:events'
import t from 'tap'
import type { Message } from '../../server/events/message.ts'
import { command } from '../command.ts'
import { addApp, buildBroker, connect } from '../helper.ts'
import { runCli, waitForOutput } from '../processes.ts'

t.test('events are printed, the oldest first', async (t) => {
  const broker = await buildBroker(t)
  const [app, other] = [await addApp(broker), await addApp(broker)]
  const { connectionId } = await connect(broker, app)
  await connect(broker, other, { user: 'bo' })
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await command(['events', ...args], broker.env)
    t.equal(code, 0, stderr)
    return stdout
  }
  const readJson = async (...args: string[]) =>
    (await run('--json', ...args))
      .split('\n')
      .flatMap((line) => (line === '' ? [] : (JSON.parse(line) as Message)))

  const all = await readJson()
  t.strictSame(
    all.map(({ type }) => type),
    [
      ...['app.added', 'app.added'],
      ...['connection.created', 'grant.created', 'connection.created', 'grant.created'],
    ],
  )
  const lines = (await run()).trim().split('\n')
  t.equal(lines.length, all.length)
  t.match(
    lines[2],
    new RegExp(
      `^\\S+Z  connection.created {10}connection_id=${connectionId}  app_id=${app.id}  sequence=1  id=${all[2]?.id}$`,
    ),
  )
  t.strictSame(await readJson('--after', all[3]?.id ?? ''), all.slice(4))
  t.strictSame(await readJson('--connection', connectionId), all.slice(2, 4))
  t.strictSame(
    (await readJson('--app', other.id)).map(({ type }) => type),
    ['connection.created', 'grant.created'],
  )
  const types = ['--type', 'app.added', 'grant.created']
  t.equal((await readJson(...types)).length, 4)
  t.match(await command(['events', '--type', 'app.addd'], broker.env), {
    code: 2,
    stderr: /argument 'app.addd' is invalid/,
  })
  t.match(await command(['events', '--after', 'x'], broker.env), { code: 2 })
})

t.test('--follow prints events as they happen, until Ctrl-C', async (t) => {
  const broker = await buildBroker(t)
  const { connectionId } = await connect(broker, await addApp(broker))
  const [first = ''] = (await command(['events', '--json'], broker.env)).stdout.split('\n')
  const { id } = JSON.parse(first) as Message
  const child = runCli(['events', '--follow', '--json', '--after', id], broker.env)
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'close')
  await waitForOutput(child, /"grant\.created".*\n/)
  const revoked = waitForOutput(child, /"connection\.revoked".*\n/)
  const before = performance.now()
  await broker.services.connections.revoke(connectionId, 'test')
  t.match((await revoked).match[0], connectionId)
  t.comment(`${Math.round(performance.now() - before)} ms after the revocation`)
  child.kill('SIGINT')
  t.strictSame(await ended, [0, null])
})
