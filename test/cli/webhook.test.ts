import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { Webhook } from 'standardwebhooks'
import { command } from '../command.ts'
import { addApp, buildBroker } from '../helper.ts'

t.test('webhooks on the command line', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_WEBHOOK_ALLOW: '127.0.0.0/8' } })
  let status = 204
  const received: { headers: Record<string, string>; body: string }[] = []
  const hook = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.on('end', () => {
      received.push({ headers: request.headers as Record<string, string>, body })
      response.writeHead(status).end()
    })
  })
  await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve))
  t.teardown(() => hook.close())
  const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/hook`
  const run = (...args: string[]) => command(['webhook', ...args], broker.env)
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args, '--json')
    t.equal(code, 0, stderr)
    return JSON.parse(stdout) as unknown
  }

  t.match(await run('list'), { code: 0, stdout: 'No endpoints yet' })
  t.match(await run('add', url, '--event', 'moon.landed'), { code: 2, stderr: /is invalid/ })
  t.match(await run('add', 'ftp://x', '--app', 'app_x'), { code: 2, stderr: /https.*no app app_x/ })
  const { stdout } = await run('add', url, '--signature', 'v1')
  t.match(stdout, /\n {2}ellipsis-broker webhook test whk_\S+\n$/)
  const [, id = '', secret = ''] = /^id +(\S+)\nsecret +(\S+)\n/.exec(stdout) ?? []
  t.match(stdout, 'It is shown only once')
  const app = await addApp(broker)
  t.match(await run('add', url, '--app', app.id, '--event', 'upstream.down'), {
    code: 2,
    stderr: 'An app does not get these event types: upstream.down. Use connection.created',
  })
  const own = await json('add', url, '--app', app.id, '--event', 'grant.created', 'grant.revoked')
  t.match(own, { client_id: app.id, types: ['grant.created', 'grant.revoked'] })
  t.match(own, { public_key: /^whpk_/, signature: 'v1a' })
  t.notMatch(JSON.stringify(await json('list')), secret)
  t.match(await run('list'), { stdout: new RegExp(`${id} +${url} +all +all +enabled +0 +0\n`) })
  t.match(await run('show', id), { stdout: /types +all\nsignature +v1\n/ })
  t.match(await json('show', id), { id, url, client_id: null, disabled_at: null })
  t.match(await run('show', 'whk_x'), { code: 2, stderr: 'There is no webhook whk_x' })

  t.match(await run('test', id), { code: 0, stdout: 'answered with status 204' })
  const verify = (key: string) => {
    const { headers, body } = received.at(-1) ?? { headers: {}, body: '' }
    return new Webhook(key).verify(body, headers)
  }
  t.match(verify(secret), { type: 'webhook.test' })
  status = 500
  t.match(await run('test', id), { code: 1, stderr: /did not accept .*500.*2xx/s })
  status = 204
  const rotated = (await json('rotate-secret', id)) as { secret: string }
  t.not(rotated.secret, secret)
  await run('test', id)
  for (const key of [secret, rotated.secret]) t.match(verify(key), { type: 'webhook.test' })
  t.match(await run('rotate-secret', id), { stdout: /^secret +whsec_\S+\n.*24 hours/s })

  const from = new Date(broker.clock.now() - 60_000).toISOString()
  t.match(await run('replay', id, '--from', from), { code: 0, stdout: /sends \d+ events? again/ })
  const [delivery] = (await json('deliveries', id)) as { delivery: number; status: string }[]
  t.match(delivery, { status: 'pending', type: 'app.added', attempts: 0, event_id: /^evt_/ })
  t.match(await run('deliveries', id, '--status', 'failed'), { stdout: 'No deliveries' })
  t.match(await run('deliveries', id), { stdout: /app\.added +pending +0/ })
  const number = String(delivery?.delivery)
  t.match(await run('replay', id, '--delivery', number), {
    code: 0,
    stdout: 'sends the event again',
  })
  for (const wrong of [
    [],
    ['--from', from, '--delivery', '1'],
    ['--from', 'x'],
    ['--delivery', 'x'],
    ['--delivery', number, '--to', from],
  ]) {
    t.equal((await run('replay', id, ...wrong)).code, 2, wrong.join(' '))
  }
  t.match(await run('disable', id), { code: 0, stdout: 'is disabled' })
  t.match(await run('list'), { stdout: /disabled/ })
  const refused = { code: 2, stdout: '', stderr: `${id} is disabled. Enable it first` }
  t.match(await run('replay', id, '--delivery', number), refused)
  t.match(await run('replay', id, '--from', from), refused)
  t.match(await run('enable', id), { code: 0, stdout: 'is enabled' })
  t.match(await run('remove', id), { code: 0, stdout: 'gets no more events' })
  t.match(await run('remove', id), { code: 2, stderr: 'There is no webhook' })
})

t.test('deliveries to the program of BROKER_ON_EVENT are listed and replayed', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_ON_EVENT: '/bin/true' } })
  const { env, services, clock } = broker
  const run = (...args: string[]) => command(['webhook', ...args], env)
  t.match(await run('deliveries', 'command'), { code: 0, stdout: 'No deliveries' })
  await addApp(broker)
  const from = new Date(clock.now() - 60_000).toISOString()
  t.match(await run('replay', 'command', '--from', from), { code: 0, stdout: /sends 1 event / })
  t.match(await run('deliveries', 'command'), { stdout: /app\.added +pending +0/ })
  services.dispatcher.start()
  const first = async () => {
    for (;;) {
      const { rows } = await services.webhooks.listDeliveries('command', { cursor: null, limit: 1 })
      if (rows[0]?.status === 'delivered') return rows[0]
      await clock.sleep(10)
    }
  }
  const { id, type } = await first()
  t.equal(type, 'app.added')
  t.match(await run('replay', 'command', '--delivery', String(id)), { code: 0 })
  const { rows } = await services.store.listEvents({ limit: 1 })
  t.match(rows, [{ action: 'webhook.replayed', details: /^command: evt_/ }])

  const { BROKER_ON_EVENT: _program, ...without } = env
  const refused = await command(['webhook', 'replay', 'command', '--from', from], without)
  t.match(refused, { code: 2, stderr: 'BROKER_ON_EVENT is not set' })
  t.match(await run('show', 'command'), { code: 2, stderr: 'There is no webhook command' })
})
