import t from 'tap'
import {
  addApp,
  addAppWithSecret,
  authorize,
  buildBroker,
  exchange,
  postForm,
} from '../../helper.ts'
import { swapAtToken } from './begin.ts'

t.test('confidential apps swap at /oauth/token with their secret', async (t) => {
  const broker = await buildBroker(t)
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const secret = clientSecret?.reveal() ?? ''
  const { returned, verifier } = await authorize(broker, app)
  const basic = `Basic ${Buffer.from(`${app.id}:${secret}`).toString('base64')}`
  const form = {
    grant_type: 'authorization_code',
    code: returned.searchParams.get('code') ?? '',
    code_verifier: verifier,
  }
  const url = `${broker.url}/oauth/token`
  const bad = await postForm(url, { ...form, client_id: app.id })
  t.match(bad, { status: 401, body: { error: 'invalid_client' } })
  t.match(bad.headers.get('www-authenticate'), 'Basic')
  const wrong = `Basic ${Buffer.from(`${app.id}:x`).toString('base64')}`
  t.equal((await postForm(url, form, { authorization: wrong })).status, 401)
  t.equal((await postForm(url, form, { authorization: 'Basic ?' })).status, 401)
  t.equal((await postForm(url, form)).status, 401)
  const { body } = await postForm(url, form, { authorization: basic })
  const token = String(body.access_token)

  const there = await exchange(broker, token)
  t.match(there, {
    status: 401,
    body: { error: 'invalid_client', error_description: /oauth\/token/ },
  })
  t.equal((await swapAtToken(broker, token)).status, 401)
  const post = { client_id: app.id, client_secret: secret }
  t.equal((await swapAtToken(broker, token, post)).status, 200)
  t.equal((await swapAtToken(broker, token, { ...post, client_secret: 'x' })).status, 401)
  const both = await postForm(url, { ...form, ...post }, { authorization: basic })
  t.equal(both.status, 400)

  const public_ = await addApp(broker)
  t.equal((await swapAtToken(broker, token, { client_id: public_.id })).status, 401, 'another app')

  const next = await broker.services.apps.rotateSecret(app.id, 3600, 'test')
  for (const live of [secret, next.reveal()]) {
    t.equal((await swapAtToken(broker, token, { ...post, client_secret: live })).status, 200)
  }
  broker.clock.advance(3_601_000)
  t.equal((await swapAtToken(broker, token, post)).status, 401)
})
