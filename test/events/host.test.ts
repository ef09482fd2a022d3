/** As a host uses it: the real program, in processes of its own. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Message } from '../../server/events/message.ts'
import { addApp, buildBroker, connect } from '../helper.ts'
import { cli, runCli, serve, waitForOutput } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

t.test('connection revoke: a webhook arrives, events prints it, the command runs', async (t) => {
  const folder = temporaryFolder(t)
  const program = join(folder, 'on-event')
  const lines = ['#!/bin/sh', `cat >> '${folder}/commanded'`, `echo >> '${folder}/commanded'`]
  const broker = await buildBroker(t, {
    env: { BROKER_WEBHOOK_ALLOW: '127.0.0.0/8', BROKER_ON_EVENT: program },
  })
  const { connectionId } = await connect(broker, await addApp(broker))
  const { env } = broker

  t.match(await cli(['serve'], env), { code: 2, stderr: `${program} does not exist` })
  writeFileSync(program, `${lines.join('\n')}\n`, { mode: 0o644 })
  t.match(await cli(['serve'], env), { code: 2, stderr: `${program} is not executable` })
  chmodSync(program, 0o755)
  await serve(t, env)

  const received: Message[] = []
  const hook = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.on('end', () => {
      const id = String(request.headers['webhook-id'])
      received.push({ id, ...(JSON.parse(body) as Omit<Message, 'id'>) })
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve))
  t.teardown(() => hook.close())
  const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`
  const added = await cli(['webhook', 'add', url, '--event', 'connection.revoked', '--json'], env)
  t.match(added, { code: 0 })
  t.match(JSON.parse(added.stdout), { url, public_key: /^whpk_/, types: ['connection.revoked'] })

  const before = await cli(['events', '--json'], env)
  const { id } = JSON.parse(before.stdout.trim().split('\n').at(-1) ?? '') as Message
  const follow = runCli(['events', '--follow', '--after', id], env)
  t.teardown(() => follow.kill('SIGKILL'))
  const printed = waitForOutput(follow, new RegExp(`connection.revoked .*${connectionId}.*\n`))
  t.match(await cli(['connection', 'revoke', connectionId], env), { code: 0 })
  await printed
  const commanded = join(folder, 'commanded')
  const isCommanded = () =>
    existsSync(commanded) && readFileSync(commanded, 'utf8').includes('connection.revoked')
  while (received.length === 0 || !isCommanded()) await broker.clock.sleep(20)
  t.match(received, [{ type: 'connection.revoked', data: { connection_id: connectionId } }])
  const [last] = readFileSync(commanded, 'utf8').trim().split('\n').slice(-1)
  t.strictSame(JSON.parse(last ?? ''), received[0], 'the command gets the same')
})
