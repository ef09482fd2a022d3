import t from 'tap'
import { addApp, buildBroker, postForm } from '../../helper.ts'
import { watchCommits } from '../../commits.ts'
import { Visitor } from '../../visitor.ts'
import { addDevice, begin, allowDevice, enterCode } from './begin.ts'

t.test('malformed device requests', async (t) => {
  const { broker, client, start, poll } = await begin(t)
  const changed = watchCommits(t, broker.dataDir)

  t.test(
    'the device authorization request: unregistered apps and malformed requests are refused',
    async (t) => {
      const other = await addApp(broker)
      const url = `${broker.url}/oauth/device_authorization`
      const cases: [Record<string, string>, number, string][] = [
        [{}, 401, 'invalid_client'],
        [{ client_id: 'app_unknown' }, 401, 'invalid_client'],
        [{ ...client, client_secret: 'x' }, 401, 'invalid_client'],
        [{ client_id: other.id }, 400, 'unauthorized_client'],
        [{ ...client, scope: 'admin' }, 400, 'invalid_scope'],
      ]
      changed()
      for (const [form, status, error] of cases) {
        t.match(await postForm(url, form), { status, body: { error } })
      }
      const twice = await fetch(url, {
        method: 'POST',
        body: new URLSearchParams([
          ['client_id', 'a'],
          ['client_id', 'b'],
        ]),
      })
      t.equal(twice.status, 400)
      t.equal((await fetch(url)).status, 405)
      t.equal(
        (
          await fetch(url, {
            method: 'POST',
            body: '{}',
            headers: { 'content-type': 'application/json' },
          })
        ).status,
        415,
      )
      t.notOk(changed())
    },
  )

  t.test('polling with unknown, foreign or missing codes changes nothing', async (t) => {
    const { body } = await start()
    const other = await addDevice(broker)
    const server = await addDevice(broker, { confidential: true })
    changed()
    const wrong: [string, Record<string, string>, number, string][] = [
      ['nonsense', {}, 400, 'invalid_grant'],
      [String(body.user_code), {}, 400, 'invalid_grant'],
      ["' or 1=1 --", {}, 400, 'invalid_grant'],
      ['', {}, 400, 'invalid_request'],
      [String(body.device_code), { client_id: '' }, 401, 'invalid_client'],
      [String(body.device_code), { client_id: server.app.id }, 401, 'invalid_client'],
    ]
    for (const [code, more, status, error] of wrong) {
      t.match(await poll(code, more), { status, body: { error } }, code)
    }
    for (const { poll: otherPoll } of [other, server]) {
      t.match(await otherPoll(body.device_code), { status: 400, body: { error: 'invalid_grant' } })
    }
    t.notOk(changed())
    await allowDevice(broker, body.user_code)
    changed()
    t.match(await other.poll(body.device_code), { status: 400, body: { error: 'invalid_grant' } })
    t.notOk(changed())
    t.equal((await poll(body.device_code)).status, 200, 'the right code still works')
  })

  t.test('an app that lost the device flow is refused, also with a pending code', async (t) => {
    const device = await addDevice(broker)
    const { body } = await device.start()
    await broker.services.apps.set(
      device.app.id,
      { device: false, redirectUris: ['https://x.example/'] },
      'test',
    )
    for (const answer of [await device.start(), await device.poll(body.device_code)]) {
      t.match(answer, { status: 400, body: { error: 'unauthorized_client' } })
    }
  })

  t.test('on the page, wrong codes and cross-site forms change nothing', async (t) => {
    const { body } = await start()
    const code = String(body.user_code)
    changed()
    for (const wrong of [
      '',
      'BBBB-BBBB',
      'AEIOU',
      code.slice(0, -1),
      `${code}B`,
      "' or 1=1",
      '😀'.repeat(8),
    ]) {
      const page = await enterCode(broker, wrong)
      t.equal(page.status, 400, wrong)
      t.match(page.body, 'This code is wrong or has expired')
    }
    const visitor = new Visitor()
    const page = await visitor.open(`${broker.url}/device`)
    t.match(page.headers.get('content-security-policy'), "frame-ancestors 'none'")
    t.match(page.headers.get('content-security-policy'), "form-action 'self';")
    t.equal(page.headers.get('x-frame-options'), 'DENY')
    const csrf = /name="_csrf" value="([^"]*)"/.exec(page.body)?.[1] ?? ''
    const post = (
      headers: Record<string, string>,
      form: Record<string, string> = {},
      sender = visitor,
    ) =>
      sender.open(`${broker.url}/device`, undefined, {
        method: 'POST',
        body: new URLSearchParams({ user_code: code, decision: 'allow', _csrf: csrf, ...form }),
        headers,
      })
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ]) {
      t.equal((await post(headers)).status, 403, JSON.stringify(headers))
    }
    t.equal((await post({ origin: broker.url }, { _csrf: `${csrf}x` })).status, 403)
    t.equal((await post({ origin: broker.url }, { _csrf: '' })).status, 403)
    t.equal((await post({ origin: broker.url }, {}, new Visitor())).status, 403, 'another browser')
    const codeless = await visitor.open(`${broker.url}/device`, undefined, {
      method: 'POST',
      body: new URLSearchParams({ _csrf: csrf }),
      headers: { origin: broker.url },
    })
    t.match(codeless, { status: 400, body: /This code is wrong or has expired/ }, 'no code at all')
    t.notOk(changed())
    const asked = await post({ origin: broker.url }, { decision: 'nonsense' })
    t.match(asked.headers.get('content-security-policy'), "frame-ancestors 'none'")
    t.notMatch(asked.headers.get('content-security-policy'), 'form-action')
    t.match(asked.body, 'Continue to Ellipsis Drive')
    t.notOk(changed())
  })

  t.test('user codes can be guessed at most ten times per minute', async (t) => {
    const broker = await buildBroker(t, { env: { BROKER_FAILURE_LIMIT: '300' } })
    const device = await addDevice(broker)
    const { body } = await device.start()
    const visitor = new Visitor()
    for (let count = 0; count < 10; count++) {
      t.equal((await enterCode(broker, 'BBBB-BBBB', visitor)).status, 400)
    }
    t.equal((await enterCode(broker, 'BBBB-BBBB', visitor)).status, 429)
    const page = await visitor.open(`${broker.url}/device`)
    t.equal(page.status, 429)
    t.match(page.headers.get('retry-after'), /^\d+$/)
    t.match(await device.poll(body.device_code), { body: { error: 'authorization_pending' } })
  })

  t.test('polling is not a failure, and does not count for the failure limit', async (t) => {
    const broker = await buildBroker(t, { env: { BROKER_FAILURE_LIMIT: '2' } })
    const device = await addDevice(broker)
    const { body } = await device.start()
    for (let count = 0; count < 5; count++) {
      broker.clock.advance(30_000)
      t.match(await device.poll(body.device_code), { body: { error: 'authorization_pending' } })
    }
    broker.clock.advance(900_000)
    for (let count = 0; count < 5; count++) {
      t.match(await device.poll(body.device_code), { body: { error: 'expired_token' } })
    }
    t.match(await device.poll('nonsense'), { body: { error: 'invalid_grant' } })
  })

  t.test('device and user codes are not logged', async (t) => {
    const { body } = await start()
    await poll(body.device_code)
    const codes = [String(body.device_code), String(body.user_code).replace('-', '')]
    for (const code of codes) t.notOk(broker.logged.some((line) => line.includes(code)))
  })
})
