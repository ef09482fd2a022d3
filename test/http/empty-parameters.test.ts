import fc from 'fast-check'
import t from 'tap'
import {
  addApp,
  authorizationRequest,
  authorize,
  buildBroker,
  connect,
  postForm,
} from '../helper.ts'
import { size } from '../size.ts'
import { Visitor } from '../visitor.ts'

const RUNS = Number(process.env.RUNS ?? size(300, 5000))
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

t.test('an empty parameter counts as omitted (RFC 6749 3.1)', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  for (const name of [
    'scope',
    'redirect_uri',
    'response_mode',
    'dpop_jkt',
    'connection',
    'state',
  ]) {
    const { parameters } = authorizationRequest(app, { [name]: '' })
    const page = await new Visitor().open(
      `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
    )
    t.match(page, { status: 200, body: 'Continue to Ellipsis Drive' }, name)
  }
  const { returned, verifier, parameters } = await authorize(broker, app)
  const redeemed = await postForm(`${broker.url}/oauth/token`, {
    grant_type: 'authorization_code',
    client_id: app.id,
    code: returned.searchParams.get('code') ?? '',
    redirect_uri: parameters.redirect_uri ?? '',
    code_verifier: verifier,
    ...{ scope: '', client_secret: '', refresh_token: '', min_ttl: '', force: '' },
  })
  t.equal(redeemed.status, 200)
  const swapped = await postForm(`${broker.url}/oauth/token`, {
    grant_type: EXCHANGE,
    client_id: app.id,
    subject_token: redeemed.body.access_token as string,
    subject_token_type: JWT,
    ...{ requested_token_type: '', min_ttl: '', force: '', scope: '', audience: '' },
  })
  t.equal(swapped.status, 200)
  const device = await addApp(broker, { device: true })
  const asked = await postForm(`${broker.url}/oauth/device_authorization`, {
    client_id: device.id,
    scope: '',
  })
  t.equal(asked.status, 200)
  const { brokerToken } = await connect(broker, app)
  const revoked = await postForm(`${broker.url}/oauth/revoke`, {
    token: brokerToken,
    token_type_hint: '',
    client_id: app.id,
  })
  t.equal(revoked.status, 200)
})

t.test('a message names the parameter, and what it takes', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  const given = {
    grant_type: EXCHANGE,
    client_id: app.id,
    subject_token: brokerToken,
    subject_token_type: JWT,
  }
  const wrong: [string, string, RegExp][] = [
    ['force', 'yes', /force.*true.*false/],
    ['min_ttl', 'ten', /min_ttl.*seconds/],
    ['min_ttl', '-1', /min_ttl.*seconds/],
    ['requested_token_type', 'x', /requested_token_type/],
    ['scope', 'openid email', /projects/],
    ['subject_token_type', 'x', /subject_token_type/],
    ['grant_type', 'password', /grant_type|grant/],
  ]
  for (const [name, value, expected] of wrong) {
    const { status, body } = await postForm(`${broker.url}/oauth/token`, {
      ...given,
      [name]: value,
    })
    t.equal(status, 400, name)
    t.match(body.error_description, expected)
    t.notMatch(body.error_description, /must (be|match|have)|pattern|constant|schema|body\//)
  }
  const json = (body: object) =>
    fetch(`${broker.url}/exchange`, {
      method: 'POST',
      headers: { authorization: `Bearer ${brokerToken}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  for (const [name, value] of Object.entries({ min_ttl: '60', force: 'true' })) {
    const answer = await json({ [name]: value })
    t.equal(answer.status, 400)
    const { error_description: text } = (await answer.json()) as Record<string, string>
    t.match(text, name)
    t.notMatch(text, /must (be|match|have)|pattern|constant|schema|body\//)
  }
})

t.test('no set of parameters is a fault of the broker’s own', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken } = await connect(broker, app)
  const name = fc.constantFrom(
    ...[
      'grant_type',
      'client_id',
      'client_secret',
      'code',
      'code_verifier',
      'redirect_uri',
      'refresh_token',
    ],
    ...[
      'scope',
      'subject_token',
      'subject_token_type',
      'requested_token_type',
      'min_ttl',
      'force',
      'x',
    ],
  )
  const value = fc.oneof(
    fc.constantFrom(
      '',
      app.id,
      JWT,
      EXCHANGE,
      'authorization_code',
      'refresh_token',
      'true',
      '60',
      'projects',
    ),
    fc.constant(brokerToken),
    fc.string({ unit: 'binary', maxLength: 20 }),
  )
  const pairs = fc.array(fc.tuple(name, value), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(
      pairs,
      fc.constantFrom('/oauth/token', '/oauth/revoke', '/oauth/introspect'),
      async (list, url) => {
        const payload = new URLSearchParams(list).toString()
        const headers = { 'content-type': 'application/x-www-form-urlencoded' }
        const answer = await broker.app.inject({ method: 'POST', url, headers, payload })
        return (
          answer.statusCode < 500 &&
          !/\n +at |node_modules|must (be|match|have)|schema/.test(answer.body)
        )
      },
    ),
    { numRuns: RUNS },
  )
})
