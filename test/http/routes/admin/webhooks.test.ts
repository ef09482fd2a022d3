import { createServer } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { signIn } from '../../../admin.ts'
import { addApp, buildBroker } from '../../../helper.ts'
import { openDashboard, postToDashboard, textOf } from './dashboard.ts'

const ALLOW = { env: { BROKER_WEBHOOK_ALLOW: '127.0.0.0/8' } }

/** A receiver that answers with `status()`. */
async function startReceiver(t: Test, status: () => number) {
  const received: IncomingMessage[] = []
  const server = createServer((request, response) => {
    received.push(request)
    response.writeHead(status()).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, received }
}

t.test('an endpoint is added, tested, disabled, enabled and removed', async (t) => {
  const broker = await buildBroker(t, ALLOW)
  let status = 204
  const { url, received } = await startReceiver(t, () => status)
  const { admin, look } = await openDashboard(broker)
  const page = await look('/webhooks')
  t.match(page.body, 'No endpoints yet')
  const form = await look('/webhooks/new')
  t.match(form.body, '<code>connection.revoked</code>: The connection is revoked')
  const refused = await admin.press(form, 'Add endpoint', { url: 'ftp://x' })
  t.match(refused, {
    status: 422,
    body: /role="alert">The URL must begin with https.*value="ftp:/s,
  })

  const added = await admin.press(form, 'Add endpoint', { url, type: 'connection.revoked' })
  const [key = ''] = /whpk_[^<]+/.exec(added.body) ?? []
  t.match(textOf(added), `Public key ${key}`)
  const [webhook] = await broker.services.webhooks.list()
  t.match(webhook, { url, appId: null, types: ['connection.revoked'], signing: 'v1a' })
  const path = `/webhooks/${webhook?.id}`
  t.match(textOf(await look(path)), key, 'also later')
  t.match(textOf(await look('/webhooks')), `${url} Enabled All 1 type`)

  const press = async (button: string, fields = {}) =>
    textOf(await admin.press(await look(path), button, fields))
  t.match(await press('Send test event'), 'accepted the test event with status 204')
  t.ok(received[0]?.headers['webhook-signature']?.includes('v1a,'))
  status = 500
  t.match(await press('Send test event'), /The test event failed: .*500/)
  t.match(await press('Disable'), /Disabled.*Disabled: disabled by admin@example.com/)
  t.match(await press('Enable'), 'It gets the events from now on')
  const confirmation = await look(`${path}/remove`)
  t.match(confirmation.body, 'gets no more events')
  t.match(textOf(await admin.press(confirmation, 'Remove endpoint')), 'No endpoints yet')
  t.match(await look(path), { status: 404, body: 'does not exist or was removed' })

  const { rows } = await broker.services.store.listEvents({ limit: 6 })
  t.strictSame(
    rows.map(({ action, actor }) => `${action} ${actor}`),
    ['removed', 'enabled', 'disabled', 'tested', 'tested', 'added'].map(
      (done) => `webhook.${done} admin:admin@example.com`,
    ),
  )
  t.match(rows[3]?.details, /127\.0\.0\.1.*status 500/)
  t.notMatch(textOf(await look('/audit')), /webhook\.\w+/, 'the audit log has labels')
})

t.test('the key is rotated; a shared secret is shown only once', async (t) => {
  const broker = await buildBroker(t, ALLOW)
  const { url, received } = await startReceiver(t, () => 204)
  const { admin, look } = await openDashboard(broker)
  const form = await look('/webhooks/new')
  const added = await admin.press(form, 'Add endpoint', { url, signing: 'v1' })
  const [secret = ''] = /whsec_[^<]+/.exec(added.body) ?? []
  t.match(added.body, 'The secret is shown only once')
  const [webhook] = await broker.services.webhooks.list()
  const path = `/webhooks/${webhook?.id}`
  t.notMatch((await look(path)).body, /whsec_/)

  const rotated = await admin.press(await look(`${path}/rotate`), 'Rotate key')
  const [next = ''] = /whsec_[^<]+/.exec(rotated.body) ?? []
  t.not(next, '')
  t.not(next, secret)
  t.match(textOf(await look(path)), 'Previous key also signs; expires')
  await admin.press(await look(path), 'Send test event')
  t.match(received[0]?.headers['webhook-signature'], /^v1,\S+ v1,\S+$/)
  broker.clock.advance(25 * 3_600_000)
  const later = await openDashboard(broker)
  t.notMatch(textOf(await later.look(path)), 'Previous key')
})

t.test('deliveries are listed, filtered and replayed', async (t) => {
  const broker = await buildBroker(t, ALLOW)
  let status = 410
  const { url, received } = await startReceiver(t, () => status)
  const { webhooks, dispatcher, apps, clock } = broker.services
  const settings = { url, appId: null, types: [], signing: 'v1a' as const }
  const { webhook } = await webhooks.add(settings, 'test')
  const from = clock.now()
  await addApp(broker, { name: 'One' })
  dispatcher.start()
  const { admin, look } = await openDashboard(broker)
  const path = `/webhooks/${webhook.id}`
  const lookUntil = async (pattern: RegExp) => {
    for (;;) {
      const page = await look(path)
      if (pattern.test(textOf(page))) return page
      await clock.sleep(20)
    }
  }
  const disabled = await lookUntil(/app\.added Failed/)
  t.match(disabled.body, /Disabled:.*410/s)
  t.notMatch(disabled.body, 'Replay', 'it would be lost')
  const [delivery] = (await webhooks.listDeliveries(webhook.id, { cursor: null, limit: 1 })).rows
  const replay = `/admin${path}/deliveries/${delivery?.id}/replay`
  t.match(textOf(await postToDashboard(broker, admin, replay, [])), 'is disabled. Enable it first')
  status = 204
  await admin.press(await look(path), 'Enable')
  const failed = await look(path)
  const [, row = ''] = />Replay<span[^>]*>([^<]+)/.exec(failed.body) ?? []
  await admin.press(failed, `Replay${row}`)
  await lookUntil(/app\.added Delivered/)
  t.equal(received.length, 2)
  t.match(textOf(await look(`${path}?status=failed`)), 'No deliveries')
  t.match(textOf(await look(`${path}?status=delivered`)), 'app.added Delivered')

  const [first] = await apps.list()
  await apps.set(first?.id ?? '', { name: 'Two' }, 'test')
  await lookUntil(/app\.changed Delivered/)
  const minute = (time: number) => new Date(time).toISOString().slice(0, 16)
  const range = { from: minute(from), to: minute(clock.now()) }
  t.match(textOf(await admin.press(await look(path), 'Replay', range)), '2 events will be sent')
  while (received.length < 5) await clock.sleep(20)
  const ids = received.map(({ headers }) => headers['webhook-id'])
  t.equal(new Set(ids).size, 2, 'with the same ids')
  t.match(
    textOf(await admin.press(await look(path), 'Replay', { from: 'x', to: '' })),
    'Enter both',
  )
  const wrong = await postToDashboard(broker, admin, `/admin${path}/deliveries/99/replay`, [])
  t.match(textOf(wrong), `${webhook.id} has no delivery 99`)
})

t.test('more deliveries than a page has', async (t) => {
  const broker = await buildBroker(t)
  const { webhooks, clock } = broker.services
  const url = 'https://ops.example.com/'
  const settings = { url, appId: null, types: ['app.added' as const], signing: 'v1a' as const }
  const { webhook } = await webhooks.add(settings, 'test')
  for (let count = 0; count < 51; count++) await addApp(broker)
  await webhooks.replayRange(webhook.id, { from: 0, to: clock.now() + 1000 }, 'test')
  const { admin, look } = await openDashboard(broker)
  const first = await look(`/webhooks/${webhook.id}?status=pending`)
  t.equal(first.body.match(/<code>app\.added/g)?.length, 51, '50, and the type in the facts')
  const [, next = ''] = /rel="next" href="([^"]+)"/.exec(first.body) ?? []
  const second = await admin.open(new URL(next.replaceAll('&amp;', '&'), first.url).href)
  t.equal(second.body.match(/<code>app\.added/g)?.length, 2)
  t.match(second.body, /rel="prev" href="\?status=pending#/)
})

t.test('endpoints of an app, and what viewers see', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { name: 'Flood map' })
  const { look, admin } = await openDashboard(broker)
  t.match(textOf(await look(`/apps/${app.id}`)), 'Webhooks none')
  const list = await look(`/webhooks?app=${app.id}`)
  const [, href = ''] = /href="([^"]+\/webhooks\/new[^"]*)"/.exec(list.body) ?? []
  const form = await admin.open(broker.url + href)
  const url = 'https://map.example.com/hook'
  t.match(form.body, `<option value="${app.id}" selected>`)
  await admin.press(form, 'Add endpoint', { url, app: app.id })
  t.match(textOf(await look(`/apps/${app.id}`)), 'Webhooks 1 endpoint')
  t.match(textOf(await look(`/webhooks?app=${app.id}`)), `${url} Enabled Flood map All`)
  t.match(textOf(await look('/webhooks?app=app_x')), 'No endpoints yet')

  const [webhook] = await broker.services.webhooks.list()
  const viewer = await signIn(broker, { role: 'viewer' })
  const page = await viewer.open(`${broker.url}/admin/webhooks/${webhook?.id}`)
  t.match(textOf(page), url)
  t.notMatch(page.body, /<button(?![^>]*(copy|small">Sign out))/)
  t.notMatch((await viewer.open(`${broker.url}/admin/webhooks`)).body, 'Add an endpoint')
})

t.test('the program of BROKER_ON_EVENT has a page with its deliveries', async (t) => {
  const broker = await buildBroker(t, { env: { BROKER_ON_EVENT: '/bin/false' } })
  const { webhooks, dispatcher, clock } = broker.services
  const { admin, look } = await openDashboard(broker)
  t.match(textOf(await look('/webhooks')), '/bin/false Enabled All All –')
  t.notMatch(textOf(await look('/webhooks?app=app_x')), '/bin/false')
  const path = '/webhooks/command'
  t.match(textOf(await look(path)), 'Added by the setting BROKER_ON_EVENT')
  dispatcher.start()
  await addApp(broker)
  const lookUntil = async (pattern: RegExp) => {
    for (;;) {
      const page = await look(path)
      if (pattern.test(textOf(page))) return page
      await clock.sleep(20)
    }
  }
  const page = await lookUntil(/app\.added Pending .* 1 Exit code 1/)
  t.notMatch(page.body, /Send test event|Disable|Rotate|Remove/)
  const range = { from: '2000-01-31T08:00', to: '2100-01-31T08:00' }
  t.match(textOf(await admin.press(page, 'Replay', range)), 'will be sent again')
  const { rows } = await webhooks.listDeliveries('command', { cursor: null, limit: 1 })
  const again = `/admin${path}/deliveries/${rows[0]?.id}/replay`
  t.match(textOf(await postToDashboard(broker, admin, again, [])), 'The event will be sent again')
  for (const action of ['test', 'rotate', 'enabled', 'remove']) {
    const answer = await postToDashboard(broker, admin, `/admin${path}/${action}`, [])
    t.equal(answer.status, 404, action)
  }
  const without = await openDashboard(await buildBroker(t))
  t.equal((await without.look(path)).status, 404)
})
