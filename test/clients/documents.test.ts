/** Runs the examples in docs/connect/ unchanged. */
import t from 'tap'
import {
  addApp,
  addAppWithSecret,
  allow,
  authorize,
  buildBroker,
  freePort,
  postForm,
} from '../helper.ts'
import { signIn } from '../oauth/openid/begin.ts'
import { Visitor } from '../visitor.ts'
import { findGrant } from '../db/rows.ts'
import { codeBlock } from './code-block.ts'
import { runProgram } from './python.ts'

t.test('server.md', async (t) => {
  const broker = await buildBroker(t)
  const here = `http://127.0.0.1:${await freePort()}`
  const redirectUris = [`${here}/connected`]
  const { app, clientSecret } = await addAppWithSecret(broker, {
    confidential: true,
    redirectUris,
  })
  const env = {
    ...{ BROKER: broker.url, CLIENT_ID: app.id, HERE: here },
    CLIENT_SECRET: clientSecret?.reveal() ?? '',
    ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '',
  }
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const listening = Promise.withResolvers<undefined>()
  const onLine = (line: string) => void (line === 'listening' && listening.resolve(undefined))
  // With --eval, so that imports resolve from the working directory of the tests.
  const source = `${codeBlock('server', 'js')}\nconsole.log('listening')`
  const command = [process.execPath, '--input-type=module', '--eval', source]
  const ended = runProgram(command, env, onLine, { signal: stop.signal }).then(
    ({ output }) => output,
  )
  t.equal(await Promise.race([listening.promise, ended]), undefined, 'it listens')
  const visitor = new Visitor()
  const refused = await visitor.press(await visitor.open(here), 'Deny')
  t.match(refused.body, 'You refused')
  const login = await visitor.press(await visitor.open(here), 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie')
  t.equal(page.body, 'Connected as amelie')
  const reloaded = await visitor.open(`${here}/connected?code=used&state=used`)
  t.equal(reloaded.body, 'Connected as amelie')

  const openAfter = (milliseconds: number) => {
    broker.clock.advance(milliseconds)
    return visitor.open(here)
  }
  t.equal((await openAfter(16 * 86_400_000)).body, 'Connected as amelie')
  t.equal((await openAfter(0)).body, 'Connected as amelie')
  const grant = await findGrant(broker.services.store, app.id)
  t.type(grant?.jtiUsedAt, 'number', 'the server uses the newer broker token')
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  const asked = await openAfter(3_600_000)
  t.match(asked.body, 'asks to use your Ellipsis Drive', 'reconnect_required')
  await allow(visitor, await visitor.press(asked, 'Continue to Ellipsis Drive'), 'amelie')
  t.match((await openAfter(31 * 86_400_000)).body, 'asks to use', 'the broker token has expired')
  stop.abort()
  await ended
})

t.test('qgis.md: the requests of QGIS, with another port', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { tokens: 'ellipsis', redirectUris: ['http://127.0.0.1:7070'] })
  const parameters = { redirect_uri: 'http://127.0.0.1:7071', scope: 'projects' }
  const { returned, verifier } = await authorize(broker, app, { parameters })
  const token = `${broker.url}/oauth/token`
  const { body } = await postForm(token, {
    ...{ grant_type: 'authorization_code', client_id: app.id, client_secret: '' },
    ...{ code: returned.searchParams.get('code') ?? '', code_verifier: verifier },
    redirect_uri: parameters.redirect_uri,
  })
  t.ok(broker.standIn.issued().includes(String(body.access_token)))
  const refresh = { grant_type: 'refresh_token', refresh_token: String(body.refresh_token) }
  const again = await postForm(token, { ...refresh, client_id: app.id, client_secret: '' })
  t.equal(again.status, 200)
})

t.test('appauth.md: the requests of AppAuth', async (t) => {
  const broker = await buildBroker(t)
  const redirectUris = ['com.example.map:/connected']
  const app = await addApp(broker, { tokens: 'ellipsis', redirectUris })
  const parameters = { scope: 'openid profile projects', nonce: 'n-1' }
  const { body, claims } = await signIn(broker, app, { parameters })
  t.match(claims, { nonce: 'n-1', preferred_username: 'amelie' })
  const refresh = { grant_type: 'refresh_token', refresh_token: String(body.refresh_token) }
  const again = await postForm(`${broker.url}/oauth/token`, { ...refresh, client_id: app.id })
  t.ok(broker.standIn.issued().includes(String(again.body.access_token)))
})
