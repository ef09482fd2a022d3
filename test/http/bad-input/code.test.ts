import t from 'tap'
import { RETURN, authorize, postForm } from '../../helper.ts'
import { setUpBadInput } from './setup.ts'

t.test('malformed authorization code requests', async (t) => {
  const { broker, url, app, otherApp, confidentialApp, hasChanged } = await setUpBadInput(t)

  t.test('invalid code requests', async (t) => {
    const { returned, verifier, parameters } = await authorize(broker, app)
    const validForm = {
      grant_type: 'authorization_code',
      client_id: app.id,
      code: returned.searchParams.get('code') ?? '',
      redirect_uri: parameters.redirect_uri,
      code_verifier: verifier,
    }
    const cases: [string, Record<string, string>, number, string][] = [
      ['wrong code_verifier', { code_verifier: 'x'.repeat(43) }, 400, 'invalid_grant'],
      ['no code_verifier', { code_verifier: '' }, 400, 'invalid_request'],
      [
        'code_challenge as code_verifier',
        { code_verifier: parameters.code_challenge },
        400,
        'invalid_grant',
      ],
      ['no code', { code: '' }, 400, 'invalid_request'],
      ['unknown code', { code: 'x'.repeat(43) }, 400, 'invalid_grant'],
      ['SQL in code', { code: "' or 1=1 --" }, 400, 'invalid_grant'],
      ['another redirect_uri', { redirect_uri: `${RETURN}/` }, 400, 'invalid_grant'],
      ['client_id of another app', { client_id: otherApp.id }, 400, 'invalid_grant'],
      [
        'confidential app without its secret',
        { client_id: confidentialApp.id },
        401,
        'invalid_client',
      ],
      ['unknown client_id', { client_id: 'app_unknown' }, 401, 'invalid_client'],
      ['no client_id', { client_id: '' }, 401, 'invalid_client'],
      ['secret of a public app', { client_secret: 'x' }, 401, 'invalid_client'],
      ['unknown grant type', { grant_type: 'password' }, 400, 'unsupported_grant_type'],
      ['no grant type', { grant_type: '' }, 400, 'invalid_request'],
    ]
    for (const [title, wrong, status, error] of cases) {
      await t.test(title, async (t) => {
        hasChanged()
        const answer = await postForm(`${url}/oauth/token`, { ...validForm, ...wrong })
        t.match(answer, { status, body: { error, error_description: /^.{10,}$/ } })
        t.equal(answer.headers.get('cache-control'), 'no-store')
        t.notOk(hasChanged())
      })
    }
    await t.test('the code still works afterwards', async (t) => {
      t.equal((await postForm(`${url}/oauth/token`, validForm)).status, 200)
    })
    await t.test('a used code with a wrong code_verifier does not revoke the grant', async (t) => {
      hasChanged()
      const response = await postForm(`${url}/oauth/token`, {
        ...validForm,
        code_verifier: 'x'.repeat(43),
      })
      t.match(response, { status: 400, body: { error: 'invalid_grant' } })
      t.notOk(hasChanged())
    })
  })
})
