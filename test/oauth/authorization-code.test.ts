import t from 'tap'
import { CODE_LIFETIME_MS } from '../../server/oauth/authorization-code.ts'
import { addApp, authorize, buildBroker, exchange, postForm } from '../helper.ts'

t.test('a code works once; a second use revokes its grant', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { returned, verifier, parameters } = await authorize(broker, app)
  const form = {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri,
    code_verifier: verifier,
  }
  const wrong = { ...form, code_verifier: 'x'.repeat(43) }
  t.match(await postForm(`${broker.url}/oauth/token`, wrong), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
  const first = await postForm(`${broker.url}/oauth/token`, form)
  t.equal(first.status, 200)
  t.equal(first.headers.get('cache-control'), 'no-store')
  const brokerToken = String(first.body.access_token)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.match(await postForm(`${broker.url}/oauth/token`, form), {
    status: 400,
    body: { error: 'invalid_grant' },
  })
  t.equal((await exchange(broker, brokerToken)).status, 401)
})

t.test('a code is valid for its lifetime', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  for (const [afterMs, status] of [
    [CODE_LIFETIME_MS - 5000, 200],
    [CODE_LIFETIME_MS, 400],
  ] as const) {
    const { returned, verifier } = await authorize(broker, app)
    broker.clock.advance(afterMs)
    const answer = await postForm(`${broker.url}/oauth/token`, {
      grant_type: 'authorization_code',
      client_id: app.id,
      code: returned.searchParams.get('code') ?? '',
      code_verifier: verifier,
    })
    t.equal(answer.status, status)
    if (status === 400) t.match(answer.body, { error: 'invalid_grant', error_description: '60 s' })
  }
})
