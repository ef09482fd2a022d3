import t from 'tap'
import { exchange, postForm } from '../../helper.ts'
import { setUpBadInput } from './setup.ts'

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'

t.test('malformed token requests', async (t) => {
  const { broker, url, app, confidentialApp, clientSecret, connection, hasChanged } =
    await setUpBadInput(t)

  t.test('invalid parameters', async (t) => {
    const token = { subject_token: connection.brokerToken, subject_token_type: JWT }
    const swap = { grant_type: TOKEN_EXCHANGE, ...token }
    const cases: [string, Record<string, string>, string][] = [
      ['min_ttl is not a number', { min_ttl: 'soon' }, 'invalid_request'],
      ['negative min_ttl', { min_ttl: '-1' }, 'invalid_request'],
      ['min_ttl too large', { min_ttl: '9'.repeat(10) }, 'invalid_request'],
      ['force is not a boolean', { force: '1' }, 'invalid_request'],
      ['unknown subject_token_type', { subject_token_type: 'jwt' }, 'invalid_request'],
      ['no subject_token_type', { subject_token_type: '' }, 'invalid_request'],
      ['no subject_token', { subject_token: '' }, 'invalid_request'],
      ['unknown requested_token_type', { requested_token_type: 'saml' }, 'invalid_request'],
      ['unknown scope', { scope: 'admin' }, 'invalid_scope'],
    ]
    for (const [title, invalid, error] of cases) {
      await t.test(title, async (t) => {
        hasChanged()
        const answer = await postForm(`${url}/oauth/token`, { ...swap, ...invalid })
        t.match(answer, { status: 400, body: { error } })
        t.notOk(hasChanged())
      })
    }
    await t.test('an unknown parameter is ignored', async (t) => {
      const answer = await postForm(`${url}/oauth/token`, { ...swap, utm_source: 'x' })
      t.equal(answer.status, 200)
    })
    for (const name of ['grant_type', 'subject_token', 'client_id', 'min_ttl', 'force']) {
      await t.test(`${name} twice`, async (t) => {
        const form = new URLSearchParams({
          ...swap,
          client_id: app.id,
          min_ttl: '60',
          force: 'false',
        })
        form.append(name, form.get(name) ?? '')
        const answer = await fetch(`${url}/oauth/token`, { method: 'POST', body: form })
        t.equal(answer.status, 400)
        t.match(await answer.json(), { error: 'invalid_request' })
      })
    }
    await t.test('revoke without a token', async (t) => {
      const answer = await postForm(`${url}/oauth/revoke`, {})
      t.match(answer, { status: 400, body: { error: 'invalid_request' } })
    })
    const exchangeWith = (body: unknown) => exchange(broker, connection.brokerToken, body as object)
    for (const body of [
      { min_ttl: '60' },
      { min_ttl: null },
      { min_ttl: -1 },
      { min_ttl: 1.5 },
      { min_ttl: 1e10 },
      { force: 1 },
      { force: 'true' },
      [],
      'text',
      7,
    ]) {
      await t.test(`body ${JSON.stringify(body)}`, async (t) => {
        t.match(await exchangeWith(body), { status: 400, body: { error: 'invalid_request' } })
      })
    }
  })

  t.test('invalid client authentication', async (t) => {
    const basic = (credentials: string) => ({
      authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
    })
    const secret = clientSecret?.reveal() ?? ''
    const swap = (form: Record<string, string>, headers: Record<string, string>) =>
      postForm(
        `${url}/oauth/token`,
        {
          grant_type: TOKEN_EXCHANGE,
          subject_token: connection.brokerToken,
          subject_token_type: JWT,
          ...form,
        },
        headers,
      )
    const cases: [string, Record<string, string>, Record<string, string>, number][] = [
      ['not base64', {}, { authorization: 'Basic ???' }, 401],
      ['another scheme', {}, { authorization: `Bearer ${connection.brokerToken}` }, 401],
      ['invalid percent-encoding', {}, basic('%zz:%zz'), 401],
      ['wrong secret', {}, basic(`${confidentialApp.id}:x`), 401],
      ['secret of another app', {}, basic(`${app.id}:${secret}`), 401],
      [
        'two authentication methods',
        { client_secret: secret },
        basic(`${confidentialApp.id}:${secret}`),
        400,
      ],
      ['two client_ids', { client_id: app.id }, basic(`${confidentialApp.id}:${secret}`), 401],
      ['secret without client_id', { client_secret: secret }, {}, 401],
      [
        'a very long secret',
        { client_id: confidentialApp.id, client_secret: 'x'.repeat(20_000) },
        {},
        401,
      ],
    ]
    for (const [title, form, headers, status] of cases) {
      await t.test(title, async (t) => {
        hasChanged()
        const answer = await swap(form, headers)
        t.equal(answer.status, status)
        if (status === 401) t.match(answer.headers.get('www-authenticate'), /^Basic/)
        t.notOk(JSON.stringify(answer.body).includes(secret))
        t.notOk(hasChanged())
      })
    }
    await t.test('a public app’s client_id by HTTP Basic, as some libraries send it', async (t) => {
      t.equal((await swap({}, basic(`${app.id}:`))).status, 200)
      t.equal((await swap({}, basic(app.id))).status, 200)
    })
  })
})
