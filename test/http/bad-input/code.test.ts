import t from 'tap'
import { RETURN, authorize, postForm } from '../../helper.ts'
import { setUp } from './set-up.ts'

t.test('malformed code redemptions', async (t) => {
  const { broker, url, app, other, server, changed } = await setUp(t)

  t.test('a code that is redeemed wrongly', async (t) => {
    const { returned, verifier, parameters } = await authorize(broker, app)
    const good = {
      grant_type: 'authorization_code',
      client_id: app.id,
      code: returned.searchParams.get('code') ?? '',
      redirect_uri: parameters.redirect_uri,
      code_verifier: verifier,
    }
    const cases: [string, Record<string, string>, number, string][] = [
      ['wrong verifier', { code_verifier: 'x'.repeat(43) }, 400, 'invalid_grant'],
      ['no verifier', { code_verifier: '' }, 400, 'invalid_request'],
      [
        'the challenge as verifier',
        { code_verifier: parameters.code_challenge },
        400,
        'invalid_grant',
      ],
      ['no code', { code: '' }, 400, 'invalid_request'],
      ['unknown code', { code: 'x'.repeat(43) }, 400, 'invalid_grant'],
      ['code as SQL', { code: "' or 1=1 --" }, 400, 'invalid_grant'],
      ['another redirect URI', { redirect_uri: `${RETURN}/` }, 400, 'invalid_grant'],
      ['another app', { client_id: other.id }, 400, 'invalid_grant'],
      ['an app with a secret, without it', { client_id: server.id }, 401, 'invalid_client'],
      ['unknown app', { client_id: 'app_unknown' }, 401, 'invalid_client'],
      ['no app', { client_id: '' }, 401, 'invalid_client'],
      ['a secret that it doesn’t have', { client_secret: 'x' }, 401, 'invalid_client'],
      ['unknown grant type', { grant_type: 'password' }, 400, 'unsupported_grant_type'],
      ['no grant type', { grant_type: '' }, 400, 'unsupported_grant_type'],
    ]
    for (const [words, wrong, status, error] of cases) {
      await t.test(words, async (t) => {
        changed()
        const answer = await postForm(`${url}/oauth/token`, { ...good, ...wrong })
        t.match(answer, { status, body: { error, error_description: /^.{10,}$/ } })
        t.equal(answer.headers.get('cache-control'), 'no-store')
        t.notOk(changed())
      })
    }
    await t.test('and works after all of that', async (t) => {
      t.equal((await postForm(`${url}/oauth/token`, good)).status, 200)
    })
    await t.test('a copy without the verifier does not end what it began', async (t) => {
      changed()
      const copied = await postForm(`${url}/oauth/token`, {
        ...good,
        code_verifier: 'x'.repeat(43),
      })
      t.match(copied, { status: 400, body: { error: 'invalid_grant' } })
      t.notOk(changed())
    })
  })
})
