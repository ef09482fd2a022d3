import t from 'tap'
import { createAppGrants } from '../../../server/oauth/app-grants.ts'
import { buildBroker } from '../../helper.ts'
import { addOfflineApp, callApi, connectUser, getAppToken, swapForApp } from './begin.ts'

t.test('an app lists, reads, changes, uses and revokes its grants', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const form = { external_id: 'user-1 ü' }
  const amelie = await connectUser(broker, app, { form })
  const second = await connectUser(broker, app, { user: 'bo' })
  t.equal(amelie.status, 200)
  const token = await getAppToken(broker, app)

  const { status, body, headers } = await callApi(broker, token, '')
  t.match({ status, next: body.next }, { status: 200, next: null })
  t.equal(headers.get('cache-control'), 'no-store')
  const grants = body.grants as Record<string, unknown>[]
  t.strictSame(grants.map(({ grant_id: id }) => id).sort(), [amelie.grantId, second.grantId].sort())
  const mine = grants.find(({ grant_id: id }) => id === amelie.grantId)
  t.strictSame(mine, {
    grant_id: amelie.grantId,
    connection_id: amelie.connectionId,
    external_id: 'user-1 ü',
    username: 'amelie',
    status: 'active',
    device: 'Firefox on Linux',
    scope: 'projects',
    created_at: mine?.created_at,
    last_used_at: null,
    reconnect_url: null,
  })
  t.ok(Math.abs(Number(mine?.created_at) - broker.clock.now() / 1000) < 60)
  t.strictSame((await callApi(broker, token, `/${amelie.grantId}`)).body, mine)

  const found = await callApi(broker, token, '?external_id=user-1%20%C3%BC')
  t.strictSame(found.body, { grants: [mine], next: null })
  t.strictSame((await callApi(broker, token, '?external_id=user-2')).body.grants, [])

  const swapped = await swapForApp(broker, token, amelie.grantId)
  t.match(swapped, { status: 200, body: { token_type: 'Bearer', scope: 'projects' } })
  t.ok(broker.standIn.issued().includes(String(swapped.body.access_token)))
  const fields = ['access_token', 'expires_at', 'expires_in', 'scope', 'token_type']
  t.strictSame(Object.keys(swapped.body).sort(), fields)
  await broker.services.usage.flush()
  const used = await callApi(broker, token, `/${amelie.grantId}`)
  t.type(used.body.last_used_at, 'number')
  t.match(await broker.services.store.sumUsage({ since: 0, appId: app.app.id }), [
    { kind: 'swap', outcome: 'ok', count: 1 },
  ])

  const change = (external_id: unknown) =>
    callApi(broker, token, `/${amelie.grantId}`, { method: 'PATCH', body: { external_id } })
  for (let count = 0; count < 2; count++)
    t.match(await change('user-9'), { status: 200, body: { external_id: 'user-9' } })
  t.match(await change(null), { status: 200, body: { external_id: null } })
  for (const wrong of ['', 'x'.repeat(256), 'a\nb', 'a\ud800', 7, {}, undefined]) {
    t.match(
      await change(wrong),
      { status: 400, body: { error: 'invalid_request' } },
      JSON.stringify(wrong),
    )
  }
  t.match(await change('🙂'.repeat(255)), { status: 200 }, 'characters, not code units')

  const remove = () => callApi(broker, token, `/${amelie.grantId}`, { method: 'DELETE' })
  t.equal((await remove()).status, 204)
  t.equal((await remove()).status, 204, 'again')
  const ended = await callApi(broker, token, `/${amelie.grantId}`)
  t.match(ended.body, { status: 'revoked', reconnect_url: /\/connect\/app_.*connection=/ })
  t.match(await swapForApp(broker, token, amelie.grantId), {
    status: 401,
    body: { error: 'invalid_token', reconnect_url: /connect/ },
  })
  t.equal((await swapForApp(broker, token, second.grantId)).status, 200, 'the other one is alive')

  const { rows } = await broker.services.store.listEvents({
    filter: { connectionId: amelie.connectionId },
    cursor: null,
    limit: 10,
  })
  t.strictSame(
    rows.map(({ action, actor }) => `${action} ${actor}`),
    [
      'grant.revoked app',
      'grant.external_id_set app',
      'grant.external_id_removed app',
      'grant.external_id_set app',
      'grant.begun app',
      'connection.connected user',
    ],
  )
  t.notMatch(JSON.stringify(rows), 'user-9', 'ids of users are not in the audit log')
})

t.test('changes of an external id fill no audit log', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const token = await getAppToken(broker, app)
  const { grantId } = await connectUser(broker, app)
  const change = (external_id: string | null) =>
    callApi(broker, token, `/${grantId}`, { method: 'PATCH', body: { external_id } })
  for (let count = 0; count < 20; count++) await change(`user-${count}`)
  t.match(await change(null), { status: 429, body: { error: 'slow_down', retry_after: Number } })
  t.match(await change('user-19'), { status: 200 }, 'it is already so')
  broker.clock.advance(3_600_000)
  const later = await getAppToken(broker, app)
  const body = { external_id: null }
  t.match(await callApi(broker, later, `/${grantId}`, { method: 'PATCH', body }), {
    status: 200,
    body: { external_id: null },
  })
})

t.test('pages: each grant once, by status and by external id', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const ids: string[] = []
  for (const user of ['amelie', 'bo']) {
    for (let count = 0; count < 3; count++) {
      const form = { external_id: user }
      ids.push((await connectUser(broker, app, { user, form })).grantId)
    }
  }
  const token = await getAppToken(broker, app)
  const walk = async (query: string) => {
    const pages: string[][] = []
    let after: string | null = ''
    while (after !== null) {
      const path = `?${query}${after && `&after=${after}`}`
      const { body }: { body: Record<string, unknown> } = await callApi(broker, token, path)
      pages.push((body.grants as { grant_id: string }[]).map(({ grant_id: id }) => id))
      after = body.next as string | null
    }
    return pages
  }
  t.strictSame((await walk('limit=4')).flat(), ids.toSorted())
  t.strictSame((await walk('limit=6')).length, 1, 'no empty page')
  const ofBo = await walk('limit=2&external_id=bo')
  t.strictSame(
    ofBo.map((page) => page.length),
    [2, 1],
  )
  t.strictSame(ofBo.flat(), ids.slice(3).sort())
  for (const id of ids.slice(1, 4)) await callApi(broker, token, `/${id}`, { method: 'DELETE' })
  t.strictSame((await walk('limit=2&status=revoked')).flat(), ids.slice(1, 4).sort())
  t.strictSame((await walk('limit=500&status=active')).flat().length, 3)
  t.strictSame((await walk('status=needs_reconnect')).flat(), [])
  for (const query of [
    'limit=0',
    'limit=501',
    'limit=x',
    'status=dead',
    `after=${'x'.repeat(101)}`,
  ])
    t.match(await callApi(broker, token, `?${query}`), { status: 400 }, query)
})

t.test('a search for a status ends early with a cursor, and continues there', async (t) => {
  const broker = await buildBroker(t)
  const { store, clock } = broker.services
  const { app, ...rest } = await addOfflineApp(broker)
  await connectUser(broker, { app, ...rest })
  const query = { externalId: null, after: null, limit: 100 }
  const [row] = await store.listGrantsOfApp({ ...query, appId: app.id })
  if (!row) throw new Error('no grant')
  let read = 0
  const listGrantsOfApp: typeof store.listGrantsOfApp = async ({ limit }) =>
    Array.from({ length: limit }, () => ({ ...row, grant: { ...row.grant, id: `${++read}` } }))
  const grants = createAppGrants({
    ...{ store: { ...store, listGrantsOfApp }, clock, publicUrl: broker.url },
  })
  const page = await grants.list(app, { ...query, status: 'revoked' })
  t.strictSame(page, { grants: [], next: `${read}` })
  t.equal(read, 20_000)
})

t.test('an app without a redirect URI gets no reconnect_url', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker, { device: true })
  const { grantId } = await connectUser(broker, app)
  await broker.services.apps.set(app.app.id, { redirectUris: [] }, 'test')
  const token = await getAppToken(broker, app)
  await callApi(broker, token, `/${grantId}`, { method: 'DELETE' })
  const { body } = await callApi(broker, token, `/${grantId}`)
  t.match(body, { status: 'revoked', reconnect_url: null })
})

t.test('a connection that needs reconnecting', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const { grantId } = await connectUser(broker, app)
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  broker.clock.advance(3_600_000)
  const token = await getAppToken(broker, app)
  const refused = await broker.clock.hurry(swapForApp(broker, token, grantId))
  t.match(refused, { status: 403, body: { error: 'reconnect_required', reconnect_url: /connect/ } })
  const listed = await callApi(broker, token, '?status=needs_reconnect')
  t.match(listed.body.grants, [{ grant_id: grantId, reconnect_url: refused.body.reconnect_url }])
})

t.test('a grant without the scope projects gives no access', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const { grantId } = await connectUser(broker, app, { parameters: { scope: 'openid' } })
  const token = await getAppToken(broker, app)
  t.match(await swapForApp(broker, token, grantId), {
    status: 403,
    body: { error: 'insufficient_scope' },
  })
})

t.test('what ends while a refresh waits', async (t) => {
  const broker = await buildBroker(t)
  const { store, apps, connections } = broker.services
  const invalidToken = { status: 401, body: { error: 'invalid_token' } }
  type Ids = { id: string; grantId: string; connectionId: string }
  const ends: [end: (ids: Ids) => Promise<unknown>, expected: object][] = [
    [({ grantId }) => connections.revokeGrant(grantId, 'test'), invalidToken],
    [({ id }) => apps.set(id, { offline: false }, 'test'), invalidToken],
    [({ id }) => apps.remove(id, 'test'), invalidToken],
    [
      ({ id }) => apps.set(id, { access: 'proxy' }, 'test'),
      { status: 400, body: { error: 'unauthorized_client' } },
    ],
    [({ connectionId }) => connections.revoke(connectionId, 'test'), invalidToken],
  ]
  const save = store.saveTokens.bind(store)
  for (const [end, expected] of ends) {
    const app = await addOfflineApp(broker)
    const { grantId, connectionId } = await connectUser(broker, app)
    broker.clock.advance(3_590_000)
    const token = await getAppToken(broker, app)
    let waited = 0
    store.saveTokens = async (tokens) => {
      const saved = await save(tokens)
      waited++
      await end({ id: app.app.id, grantId, connectionId })
      return saved
    }
    const answer = await swapForApp(broker, token, grantId)
    store.saveTokens = save
    t.match(answer, expected, end.toString())
    t.notOk('access_token' in answer.body)
    t.equal(waited, 1)
  }
})

t.test(
  'an app that uses the proxy alone gets no access token, and none is refreshed',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addOfflineApp(broker, { access: 'proxy' })
    const { grantId } = await connectUser(broker, app)
    const token = await getAppToken(broker, app)
    const refused = await swapForApp(broker, token, grantId, { force: true })
    t.match(refused, { status: 400, body: { error: 'unauthorized_client' } })
    t.equal(broker.standIn.calls.refresh, 0)
  },
)

t.test('force and min_ttl, as at /exchange', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const { grantId } = await connectUser(broker, app)
  const token = await getAppToken(broker, app)
  const tokenOf = async (body?: object) =>
    (await swapForApp(broker, token, grantId, body)).body.access_token
  const first = await tokenOf()
  t.equal(await tokenOf(), first)
  const forced = await tokenOf({ force: true })
  t.not(forced, first)
  t.match(await swapForApp(broker, token, grantId, { force: true }), { status: 429 })
  broker.clock.advance(11_000)
  t.not(await tokenOf({ min_ttl: 9999 }), forced)
  t.match(await swapForApp(broker, token, grantId, { min_ttl: '60' }), { status: 400 })
})

t.test('only an app that authenticates sends an external id', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const wrong = await connectUser(broker, app, { form: { external_id: 'x'.repeat(256) } })
  t.match(wrong, { status: 400, body: { error: 'invalid_request' } })
  const { app: browser } = await addOfflineApp(broker, { confidential: false, offline: false })
  const forged = await connectUser(
    broker,
    { app: browser, credentials: { client_id: browser.id, client_secret: '' } },
    { form: { external_id: 'victim', redirect_uri: browser.redirectUris[0] ?? '' } },
  )
  t.match(forged, { status: 400, body: { error: 'invalid_request' } })
})

t.test('a grant tells the name only if the user allowed it', async (t) => {
  const broker = await buildBroker(t)
  const proxy = { access: 'proxy' as const, allow: ['GET /path/**'] }
  const cases: [Parameters<typeof addOfflineApp>[1], string, string][] = [
    [{}, 'openid', ''],
    [{}, 'openid profile', 'amelie'],
    [proxy, 'projects', ''],
    [proxy, 'profile projects', 'amelie'],
    [{ access: 'proxy', readOnly: true }, 'projects', 'amelie'],
  ]
  for (const [settings, scope, username] of cases) {
    const app = await addOfflineApp(broker, settings)
    const { grantId } = await connectUser(broker, app, { parameters: { scope } })
    const { body } = await callApi(broker, await getAppToken(broker, app), `/${grantId}`)
    t.match(body, { scope, username }, `${JSON.stringify(settings)} ${scope}`)
  }
})
