import t from 'tap'
import { exchange, postForm } from '../../helper.ts'
import { setUp } from './set-up.ts'

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'
t.test('malformed parameters', async (t) => {
  const { broker, url, app, server, clientSecret, held, changed } = await setUp(t)

  t.test('parameters that are odd', async (t) => {
    const token = { subject_token: held.brokerToken, subject_token_type: JWT }
    const swap = { grant_type: TOKEN_EXCHANGE, ...token }
    const cases: [string, Record<string, string>, string][] = [
      ['min_ttl in words', { min_ttl: 'soon' }, 'invalid_request'],
      ['min_ttl below zero', { min_ttl: '-1' }, 'invalid_request'],
      ['min_ttl too large', { min_ttl: '9'.repeat(10) }, 'invalid_request'],
      ['force in words', { force: '1' }, 'invalid_request'],
      ['subject_token_type', { subject_token_type: 'jwt' }, 'invalid_request'],
      ['no subject_token_type', { subject_token_type: '' }, 'invalid_request'],
      ['no subject_token', { subject_token: '' }, 'invalid_request'],
      ['requested_token_type', { requested_token_type: 'saml' }, 'invalid_request'],
      ['scope', { scope: 'admin' }, 'invalid_scope'],
    ]
    for (const [words, odd, error] of cases) {
      await t.test(words, async (t) => {
        changed()
        const answer = await postForm(`${url}/oauth/token`, { ...swap, ...odd })
        t.match(answer, { status: 400, body: { error } })
        t.notOk(changed())
      })
    }
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
    const swapAt = (body: unknown) => exchange(broker, held.brokerToken, body as object)
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
        t.match(await swapAt(body), { status: 400, body: { error: 'invalid_request' } })
      })
    }
  })

  t.test('client authentication that is odd', async (t) => {
    const basic = (words: string) => ({
      authorization: `Basic ${Buffer.from(words).toString('base64')}`,
    })
    const secret = clientSecret?.reveal() ?? ''
    const swap = (form: Record<string, string>, headers: Record<string, string>) =>
      postForm(
        `${url}/oauth/token`,
        {
          grant_type: TOKEN_EXCHANGE,
          subject_token: held.brokerToken,
          subject_token_type: JWT,
          ...form,
        },
        headers,
      )
    const cases: [string, Record<string, string>, Record<string, string>, number][] = [
      ['no base64', {}, { authorization: 'Basic ???' }, 401],
      ['another scheme', {}, { authorization: `Bearer ${held.brokerToken}` }, 401],
      ['bad escapes', {}, basic('%zz:%zz'), 401],
      ['wrong secret', {}, basic(`${server.id}:x`), 401],
      ['right secret of another app', {}, basic(`${app.id}:${secret}`), 401],
      ['two ways at once', { client_secret: secret }, basic(`${server.id}:${secret}`), 400],
      ['two apps at once', { client_id: app.id }, basic(`${server.id}:${secret}`), 401],
      ['a secret of nobody', { client_secret: secret }, {}, 401],
      ['a very long secret', { client_id: server.id, client_secret: 'x'.repeat(20_000) }, {}, 401],
    ]
    for (const [words, form, headers, status] of cases) {
      await t.test(words, async (t) => {
        changed()
        const answer = await swap(form, headers)
        t.equal(answer.status, status)
        if (status === 401) t.match(answer.headers.get('www-authenticate'), /^Basic/)
        t.notOk(JSON.stringify(answer.body).includes(secret))
        t.notOk(changed())
      })
    }
    await t.test('a public app’s id by Basic, as some libraries send it', async (t) => {
      t.equal((await swap({}, basic(`${app.id}:`))).status, 200)
      t.equal((await swap({}, basic(app.id))).status, 200)
    })
  })
})
