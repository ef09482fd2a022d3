import t from 'tap'
import { signIn } from '../../../admin.ts'
import {
  RETURN,
  addApp,
  addAppWithSecret,
  buildBroker,
  connect,
  exchange,
} from '../../../helper.ts'
import type { TestBroker } from '../../../helper.ts'
import { isSecretAccepted } from './dashboard.ts'

const form = {
  name: 'My map',
  type: 'public',
  redirect_uris: 'https://map.example.com/\r\nhttp://127.0.0.1/',
  origins: '',
  lifetime: '12h',
  tokens: 'broker',
  deliver: 'code',
}

async function open(broker: TestBroker, path: string) {
  const admin = await signIn(broker)
  return { admin, page: await admin.open(`${broker.url}/admin${path}`) }
}

const secretOf = (body: string): string => /id="secret">(.*?)<\/code>/.exec(body)?.[1] ?? ''

t.test('the empty list explains apps and leads to registering one', async (t) => {
  const broker = await buildBroker(t)
  const { admin, page } = await open(broker, '/apps')
  t.match(page.body, 'No apps yet')
  const added = await admin.press(
    await admin.open(`${broker.url}/admin/apps/new`),
    'Register app',
    form,
  )
  t.match(added.body, /Registered the app “.?My map.?”/)
  const [app] = await broker.services.apps.list()
  t.match(app, {
    name: 'My map',
    confidential: false,
    redirectUris: ['https://map.example.com/', 'http://127.0.0.1/'],
    origins: ['https://map.example.com', 'http://127.0.0.1'],
    tokenLifetimeSeconds: 43_200,
    grantLifetimeSeconds: 7_776_000,
    trusted: false,
  })
  t.match(added.body, `${broker.url}/connect/${app?.id}`)
  const list = await admin.open(`${broker.url}/admin/apps`)
  t.match(list.body, 'My map')
  const [event] = (
    await broker.services.store.listEvents({ filter: { appId: app?.id ?? '' }, limit: 1 })
  ).rows
  t.match(event, { action: 'app.added', actor: 'admin:admin@example.com', address: '127.0.0.1' })
})

t.test('a confidential app’s secret is shown once', async (t) => {
  const broker = await buildBroker(t)
  const { admin, page } = await open(broker, '/apps/new')
  const made = await admin.press(page, 'Register app', { ...form, type: 'confidential' })
  const secret = secretOf(made.body)
  t.equal(secret.length, 43)
  t.equal(made.headers.get('cache-control'), 'no-store')
  const [app] = await broker.services.apps.list()
  t.ok(await isSecretAccepted(broker, app?.id ?? '', secret))
  const later = await admin.open(`${broker.url}/admin/apps/${app?.id}`)
  t.match(later.body, 'Current, created')
  t.notMatch(later.body, secret)
  t.notOk(broker.logged.some((line) => line.includes(secret)))
})

t.test('an invalid form shows the problems and keeps the input', async (t) => {
  const broker = await buildBroker(t)
  const { admin, page } = await open(broker, '/apps/new')
  const wrong = {
    ...form,
    name: '',
    redirect_uris: 'http://map.example.com/\nhttps://ok.example/',
    origins: 'https://x.example/path',
    deliver: 'fragment',
    tokens: 'ellipsis',
    trusted: 'yes',
  }
  const refused = await admin.press(page, 'Register app', wrong)
  t.equal(refused.status, 422)
  for (const problem of [
    'a name of 1',
    'is http: use https',
    'is not an origin',
    'Fragment delivery',
  ]) {
    t.match(refused.body, problem)
  }
  t.match(refused.body, 'https://ok.example/</textarea>')
  t.match(refused.body, /value="ellipsis" checked/)
  t.match(refused.body, 'aria-invalid="true"')
  const forever = await admin.press(page, 'Register app', { ...form, lifetime: 'forever' })
  t.match(forever.body, 'forever is not a duration')
  t.strictSame(await broker.services.apps.list(), [])
})

t.test('the access policy is shown, saved and kept', async (t) => {
  const broker = await buildBroker(t)
  const { admin, page } = await open(broker, '/apps/new')
  const policy = {
    access: 'proxy',
    readOnly: 'yes',
    allow: 'GET /path/*/raster/**\r\n\r\n  GET /account \r\n',
    requests_per_minute: '1200',
    requests_per_day: 'off',
  }
  const refused = await admin.press(page, 'Register app', { ...form, ...policy, name: '' })
  t.match(refused.body, 'GET /path/*/raster/**\r\n\r\n  GET /account')
  t.match(refused.body, 'name="requests_per_minute" inputmode="numeric" value="1200"')
  const rule = await admin.press(page, 'Register app', { ...form, ...policy, allow: 'GET a' })
  t.match(rule.body, 'Rule “GET a”: Write METHOD')
  const shown = await admin.press(page, 'Register app', { ...form, ...policy })
  for (const text of ['GET /path/*/raster/**', '1,200', 'Only requests that read']) {
    t.ok(shown.body.includes(text), text)
  }
  const [app] = await broker.services.apps.list()
  const saved = {
    access: 'proxy',
    readOnly: true,
    allow: ['GET /path/*/raster/**', 'GET /account'],
    requestsPerMinute: 1200,
    requestsPerDay: null,
  }
  t.match(app, saved)
  const edit = await admin.open(`${broker.url}/admin/apps/${app?.id}/edit`)
  const [, rules = ''] = /<textarea id="allow"[^>]*>([^<]*)</.exec(edit.body) ?? []
  await admin.press(edit, 'Save', { allow: rules, redirect_uris: RETURN, name: 'Renamed' })
  t.match(await broker.services.apps.get(app?.id ?? ''), { ...saved, name: 'Renamed' })
  const { rows } = await broker.services.store.listEvents({ limit: 1 })
  t.equal(rows[0]?.details, 'name, redirectUris, origins', 'nothing else has changed')
})

t.test('redirect URIs are checked while the user types', async (t) => {
  const broker = await buildBroker(t)
  const admin = await signIn(broker)
  const check = async (uris?: string) => {
    const query =
      uris === undefined ? '' : `?${new URLSearchParams({ redirect_uris: uris }).toString()}`
    const { body } = await admin.open(`${broker.url}/admin/apps/check${query}`)
    return (JSON.parse(body) as { problems: string[] }).problems
  }
  t.strictSame(await check('https://a.example/\ncom.example.app:/'), [])
  t.match(await check('https://a.example/#x\nmyapp:/'), [/has a fragment/, /reverse-domain/])
  t.strictSame(await check(), [])
})

t.test('an app is edited; its client type stays', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { tokenLifetimeSeconds: 90 })
  const { admin, page } = await open(broker, `/apps/${app.id}/edit`)
  t.match(page.body, 'value="90s"')
  t.match(page.body, 'name="grant_lifetime" value="90d"')
  t.notMatch(page.body, 'type="radio" name="type"')
  const changed = {
    ...form,
    name: 'Renamed',
    redirect_uris: 'https://new.example/',
    trusted: 'yes',
  }
  const saved = await admin.press(page, 'Save', { ...changed, type: 'confidential' })
  t.match(saved.body, /Saved “.?Renamed.?”/)
  t.match(await broker.services.apps.get(app.id), {
    name: 'Renamed',
    confidential: false,
    redirectUris: ['https://new.example/'],
    origins: ['https://new.example'],
    trusted: true,
  })
  const [event] = (await broker.services.store.listEvents({ filter: { appId: app.id }, limit: 1 }))
    .rows
  t.match(event?.details, 'name, redirectUris, origins, trusted, tokenLifetimeSeconds')
  await admin.press(page, 'Save', { ...form, grant_lifetime: 'off' })
  t.equal((await broker.services.apps.get(app.id)).grantLifetimeSeconds, null)
  const shown = await admin.open(`${broker.url}/admin/apps/${app.id}`)
  t.match(shown.body, 'off: recommended is 90d')
  const wrong = await admin.press(page, 'Save', { ...form, redirect_uris: '' })
  t.match(wrong.body, 'at least one redirect URI')
  const own = await addApp(broker, { origins: ['https://else.example'], deliver: 'fragment' })
  const other = await admin.open(`${broker.url}/admin/apps/${own.id}/edit`)
  t.match(other.body, 'https://else.example</textarea>')
  t.match(other.body, /value="fragment" checked/)
  t.match((await admin.open(`${broker.url}/admin/apps/${own.id}`)).body, 'Less safe delivery')
  t.equal((await admin.open(`${broker.url}/admin/apps/app_none/edit`)).status, 404)
})

t.test(
  'a rotated secret stays valid for the chosen time, and can be revoked earlier',
  async (t) => {
    const broker = await buildBroker(t)
    const { app, clientSecret } = await addAppWithSecret(broker, { confidential: true })
    const first = clientSecret?.reveal() ?? ''
    const { admin, page } = await open(broker, `/apps/${app.id}/rotate`)
    const rotated = await admin.press(page, 'Rotate secret', { overlap: '1d' })
    const second = secretOf(rotated.body)
    t.match(rotated.body, 'stays valid for 1 day')
    t.ok(await isSecretAccepted(broker, app.id, first))
    t.ok(await isSecretAccepted(broker, app.id, second))
    const again = await admin.press(page, 'Rotate secret', { overlap: '1d' })
    t.match(again.body, 'was already rotated')
    t.equal(secretOf(again.body), '')

    const shown = await admin.open(`${broker.url}/admin/apps/${app.id}`)
    t.match(shown.body, 'Previous, created')
    t.match(
      (await admin.open(`${broker.url}/admin/apps/${app.id}/rotate`)).body,
      'The older one stops working',
    )
    const ending = await admin.open(`${broker.url}/admin/apps/${app.id}/end-old-secret`)
    t.ok(await isSecretAccepted(broker, app.id, first), 'asking changes nothing')
    t.match((await admin.press(ending, 'Revoke old secret')).body, 'is no longer valid')
    t.match((await admin.press(ending, 'Revoke old secret')).body, 'There is no old secret')
    t.notOk(await isSecretAccepted(broker, app.id, first))
    t.ok(await isSecretAccepted(broker, app.id, second))

    const last = await admin.open(`${broker.url}/admin/apps/${app.id}/rotate`)
    const at = await admin.press(last, 'Rotate secret', { overlap: '0s' })
    t.match(at.body, 'The old secret is no longer valid')
    t.notOk(await isSecretAccepted(broker, app.id, second))
    const strange = await admin.open(`${broker.url}/admin/apps/${app.id}/rotate`)
    t.match(
      (await admin.press(strange, 'Rotate secret', { overlap: 'x' })).body,
      'valid for 7 days',
    )
  },
)

t.test('a public app has no secret to rotate', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { page } = await open(broker, `/apps/${app.id}/rotate`)
  t.equal(page.status, 404)
})

t.test('removing an app shows how many users lose access', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { brokerToken, grantId } = await connect(broker, app)
  await connect(broker, app, { user: 'bo' })
  const { admin, page } = await open(broker, `/apps/${app.id}/remove`)
  t.match(page.body, '2 users lose access')
  t.equal((await exchange(broker, brokerToken)).status, 200)
  t.match((await admin.press(page, 'Remove app')).body, /Removed “.?Test map.?”/)
  t.equal((await exchange(broker, brokerToken)).status, 401)
  t.type((await broker.services.store.getGrant(grantId))?.revokedAt, 'number')
  for (const path of ['', '/remove', '/edit', '/rotate']) {
    t.equal((await admin.open(`${broker.url}/admin/apps/${app.id}${path}`)).status, 404, path)
  }
  const unused = await addApp(broker)
  const asked = await admin.open(`${broker.url}/admin/apps/${unused.id}/remove`)
  t.match(asked.body, 'no users are connected')
})

t.test('a viewer sees apps but no actions', async (t) => {
  const broker = await buildBroker(t)
  const { app } = await addAppWithSecret(broker, { confidential: true })
  const viewer = await signIn(broker, { role: 'viewer' })
  const page = await viewer.open(`${broker.url}/admin/apps/${app.id}`)
  for (const label of ['Edit', 'Remove', 'Rotate secret']) t.notMatch(page.body, `>${label}`)
  for (const path of ['/new', `/${app.id}/edit`, `/${app.id}/rotate`, `/${app.id}/remove`]) {
    const { body } = await viewer.open(`${broker.url}/admin/apps${path}`)
    t.notMatch(body, /<button class="(primary|danger)"/, path)
  }
})
