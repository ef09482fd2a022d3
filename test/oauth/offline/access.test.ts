import { SignJWT, decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair } from 'jose'
import t from 'tap'
import { createAppTokens } from '../../../server/oauth/app-token.ts'
import { runtime } from '../../../server/runtime.ts'
import { addAppWithSecret, buildBroker, exchange, postForm } from '../../helper.ts'
import {
  addOfflineApp,
  askAppToken,
  callApi,
  connectUser,
  getAppToken,
  swapForApp,
} from './begin.ts'

t.test('the app token', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const { status, body, headers } = await askAppToken(broker, app.credentials)
  t.match({ status, body }, { status: 200, body: { token_type: 'Bearer', expires_in: 600 } })
  t.equal(headers.get('cache-control'), 'no-store')
  const claims = decodeJwt(String(body.access_token))
  const { kid, ...header } = decodeProtectedHeader(String(body.access_token))
  t.strictSame(header, { alg: 'EdDSA', typ: 'at+jwt' })
  t.type(kid, 'string')
  t.strictSame(claims, {
    iss: broker.url,
    aud: `${broker.url}/v1`,
    sub: app.app.id,
    client_id: app.app.id,
    scope: 'grants',
    iat: claims.iat,
    exp: Number(claims.iat) + 600,
    jti: claims.jti,
  })
  t.match(await askAppToken(broker, app.credentials, { scope: 'grants' }), { status: 200 })
  t.match(await askAppToken(broker, app.credentials, { scope: 'projects' }), {
    status: 400,
    body: { error: 'invalid_scope' },
  })
})

t.test('who gets no app token (RFC 6749 5.2)', async (t) => {
  const broker = await buildBroker(t)
  const { apps } = broker.services
  const app = await addOfflineApp(broker)
  const invalid = { status: 401, body: { error: 'invalid_client' } }
  const unauthorized = { status: 400, body: { error: 'unauthorized_client' } }
  const { client_id } = app.credentials
  t.match(await askAppToken(broker, { client_id, client_secret: 'wrong' }), invalid)
  t.match(await askAppToken(broker, { client_id }), invalid, 'no secret')
  t.match(await askAppToken(broker, {}), invalid, 'nobody')
  const { app: browser } = await addAppWithSecret(broker)
  t.match(await askAppToken(broker, { client_id: browser.id }), unauthorized, 'a public app')
  const online = await addOfflineApp(broker, { offline: false })
  t.match(await askAppToken(broker, online.credentials), unauthorized, 'without --offline')
  await t.rejects(apps.set(browser.id, { offline: true }, 'test'), /confidential/)

  const next = await apps.rotateSecret(client_id, 0, 'test')
  t.match(await askAppToken(broker, app.credentials), invalid, 'a rotated secret')
  const current = { client_id, client_secret: next.reveal() }
  t.match(await askAppToken(broker, current), { status: 200 })
  await apps.remove(client_id, 'test')
  t.match(await askAppToken(broker, current), invalid, 'a removed app')
})

t.test('an app token ends at once', async (t) => {
  const refusedAfter = async (
    name: string,
    end: (broker: Awaited<ReturnType<typeof buildBroker>>, id: string) => Promise<unknown>,
  ) =>
    t.test(name, async (t) => {
      const broker = await buildBroker(t)
      const app = await addOfflineApp(broker)
      const { grantId } = await connectUser(broker, app)
      const token = await getAppToken(broker, app)
      t.equal((await swapForApp(broker, token, grantId)).status, 200)
      await end(broker, app.app.id)
      for (const answer of [
        await callApi(broker, token, ''),
        await callApi(broker, token, `/${grantId}`),
        await callApi(broker, token, `/${grantId}`, {
          method: 'PATCH',
          body: { external_id: 'x' },
        }),
        await callApi(broker, token, `/${grantId}`, { method: 'DELETE' }),
        await swapForApp(broker, token, grantId),
      ]) {
        t.match(answer, { status: 401, body: { error: 'invalid_token' } })
        t.notOk('reconnect_url' in answer.body, 'the user is not to blame')
        t.match(answer.headers.get('www-authenticate'), 'Bearer error="invalid_token"')
      }
    })

  await refusedAfter('after ten minutes', async ({ clock }) => clock.advance(600_000))
  await refusedAfter('when the app is removed', ({ services }, id) =>
    services.apps.remove(id, 'test'),
  )
  await refusedAfter('when the app loses --offline', ({ services }, id) =>
    services.apps.set(id, { offline: false }, 'test'),
  )
  await refusedAfter('when its secret is replaced', ({ services, clock }, id) => {
    clock.advance(1000)
    return services.apps.rotateSecret(id, 0, 'test')
  })
  await refusedAfter('when its signing key is revoked', async ({ services }) => {
    const active = (await services.keys.list()).find(({ status }) => status === 'active')
    await services.keys.revoke(active?.kid ?? '', 'test')
  })
  await refusedAfter('when its signing key is deleted', async ({ services: { store } }) => {
    const keys = await store.listSigningKeys()
    const others = keys.filter(({ status }) => status !== 'active')
    t.ok(await store.replaceSigningKeys(keys, others, []))
  })
})

t.test('what an app token outlives', async (t) => {
  const broker = await buildBroker(t)
  const { store, keys, apps, appTokens } = broker.services
  const app = await addOfflineApp(broker)
  const token = await getAppToken(broker, app)
  const status = async (token: string) => (await callApi(broker, token, '')).status
  const { kid } = decodeProtectedHeader(token)
  const recorded = (await keys.list()).find((key) => key.kid === kid)?.tokensUntil
  t.ok(Number(recorded) >= Number(decodeJwt(token).exp) * 1000, 'its key is kept as long')

  broker.clock.advance(1000)
  await apps.rotateSecret(app.app.id, 60, 'test')
  t.equal(await status(token), 200, 'a new secret, while the old one is valid')
  broker.clock.advance(60_000)
  t.equal(await status(token), 401, 'the old one has ended')

  const renamed = createAppTokens({
    ...{ store, keys, clock: broker.clock, random: runtime.random },
    ...{ publicUrl: 'https://new.example', formerUrls: [broker.url] },
  })
  t.match(await renamed.verify(token), { clientId: app.app.id }, 'a former public URL')
  const after = await renamed.issue(app.app)
  t.match(decodeJwt(after.token), { iss: 'https://new.example', aud: 'https://new.example/v1' })
  await t.rejects(appTokens.verify(after.token), { code: 'token_refused' }, 'of another broker')

  const { publicKey } = await generateKeyPair('EdDSA', { extractable: true })
  const jwks = JSON.stringify({ keys: [await exportJWK(publicKey)] })
  const keyed = await addOfflineApp(broker, { jwks })
  t.strictSame(keyed.app.secrets, [])
  t.equal(await status((await appTokens.issue(keyed.app)).token), 200, 'of an app without secrets')
})

t.test('app tokens and broker tokens never pass for each other', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const { brokerToken, grantId } = await connectUser(broker, app)
  const appToken = await getAppToken(broker, app)
  const refused = { status: 401, body: { error: 'invalid_token' } }
  t.match(await exchange(broker, appToken), refused)
  t.match(await callApi(broker, brokerToken, ''), refused)
  t.match(await swapForApp(broker, brokerToken, grantId), refused)
  const form = (path: string, token: string) =>
    postForm(`${broker.url}/oauth/${path}`, { ...app.credentials, token })
  t.strictSame((await form('introspect', appToken)).body, { active: false })
  t.match(await form('revoke', appToken), { status: 200 }, 'as an unknown token')
  t.equal((await callApi(broker, appToken, '')).status, 200, 'it revoked nothing')
  const authorization = `Bearer ${appToken}`
  const userinfo = await fetch(`${broker.url}/oauth/userinfo`, { headers: { authorization } })
  t.equal(userinfo.status, 401)
  const exchanged = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', ...app.credentials },
    subject_token: appToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  })
  t.match(exchanged, { status: 400, body: { error: 'invalid_request' } })

  // Signed by the broker's own key, with one claim changed.
  const { kid, key } = await broker.services.keys.current('EdDSA')
  const claims = decodeJwt(appToken)
  const sign = (changes: object, typ = 'at+jwt') =>
    new SignJWT({ ...claims, ...changes }).setProtectedHeader({ alg: 'EdDSA', typ, kid }).sign(key)
  t.equal((await callApi(broker, await sign({}), '')).status, 200)
  for (const changes of [
    { aud: broker.url },
    { iss: 'https://other.example' },
    { sub: 'con_x' },
    { grant_id: grantId },
    { exp: 1 },
  ]) {
    t.match(await callApi(broker, await sign(changes), ''), refused, JSON.stringify(changes))
  }
  t.match(await callApi(broker, await sign({}, 'JWT'), ''), refused, 'typ')
})

t.test('nothing across apps, at every route', async (t) => {
  const broker = await buildBroker(t)
  const victim = await addOfflineApp(broker, { name: 'Victim' })
  const form = { external_id: 'secret-customer' }
  const { grantId, connectionId } = await connectUser(broker, victim, { form })
  const attacker = await addOfflineApp(broker, { name: 'Attacker' })
  const own = await connectUser(broker, attacker, { user: 'bo' })
  const appToken = await getAppToken(broker, attacker)
  const { client_id, client_secret } = attacker.credentials
  const basic = Buffer.from(`${client_id}:${client_secret}`).toString('base64')
  const before = await broker.services.store.getGrant(grantId)

  const routes = broker.app.routeTable.flatMap(({ method, url }) =>
    [method].flat().map((verb) => ({ verb, url })),
  )
  t.ok(routes.length > 80)
  let apiRoutes = 0
  for (const { verb, url } of routes.filter(({ verb }) => verb !== 'HEAD' && verb !== 'OPTIONS')) {
    for (const id of [grantId, connectionId, victim.app.id]) {
      const path = url.replace(/:\w+/g, id).replace('*', id)
      for (const authorization of [
        `Bearer ${appToken}`,
        `Bearer ${own.brokerToken}`,
        `Basic ${basic}`,
      ]) {
        const hasBody = verb !== 'GET' && verb !== 'DELETE'
        const response = await fetch(broker.url + path, {
          method: verb,
          redirect: 'manual',
          headers: { authorization, ...(hasBody && { 'content-type': 'application/json' }) },
          ...(hasBody && { body: JSON.stringify({ external_id: 'stolen', id, token: id }) }),
        })
        const text = await response.text()
        const name = `${verb} ${path} ${authorization.slice(0, 6)}`
        t.notMatch(text, /secret-customer|amelie/, name)
        if (/^\/admin(?!\/sign-in)/.test(url))
          t.ok(response.status >= 300, `${name}: ${response.status}`)
        if (!url.startsWith('/v1/grants/') || authorization !== `Bearer ${appToken}`) continue
        apiRoutes++
        t.equal(response.status, 404, name)
        const unknown = await fetch(broker.url + url.replace(':id', 'grant_unknown'), {
          method: verb,
          headers: { authorization, 'content-type': 'application/json' },
          ...(hasBody && { body: JSON.stringify({ external_id: 'stolen' }) }),
        })
        t.equal(await unknown.text(), text, 'the same answer as for an unknown grant')
      }
    }
  }
  t.equal(apiRoutes, 4 * 3)
  t.strictSame(await broker.services.store.getGrant(grantId), before)
  const mine = await callApi(broker, appToken, '?external_id=secret-customer')
  t.strictSame(mine.body, { grants: [], next: null })
  const after = await callApi(broker, appToken, `?after=${grantId}`)
  t.notMatch(JSON.stringify(after.body), grantId)
})
