/** Proxy, links, sessions, policies, cache and budgets together, over HTTP with the stand-in. */
import t from 'tap'
import type { App } from '../../db/store.ts'
import { addApp, addAppWithSecret, authorize, buildBroker, connect, postForm } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { addSessionApp, fromPage, sessionHeaders, signIn } from '../oauth/session/begin.ts'

interface Layer {
  id: string
  raster: { timestamps: { id: string }[] }
}

const bearer = (token: string) => ({
  authorization: `Bearer ${token}`,
  'content-type': 'application/json',
})

async function tilesOf({ url }: TestBroker, headers: Record<string, string>): Promise<string> {
  const answer = await fetch(`${url}/drive/account/root/myDrive?type=["raster"]`, { headers })
  const { result } = (await answer.json()) as { result: [Layer] }
  const [{ id, raster }] = result
  return `/path/${id}/raster/timestamp/${raster.timestamps[0]?.id}/tile`
}

async function createLink(
  { url }: TestBroker,
  headers: Record<string, string>,
  path: string,
): Promise<string> {
  const body = JSON.stringify({ path })
  const json = { 'content-type': 'application/json' }
  const answer = await fetch(`${url}/links`, {
    method: 'POST',
    headers: { ...headers, ...json },
    body,
  })
  return ((await answer.json()) as { url: string }).url
}

const tileCalls = ({ standIn }: TestBroker): number =>
  standIn.requests.filter(({ url }) => url.includes('/tile/')).length

t.test('cached tiles by header and by link; none after a revocation', async (t) => {
  const cache = t.testdir()
  const broker = await buildBroker(t, { env: { BROKER_CACHE_DIR: cache } })
  const app = await addApp(broker, { access: 'proxy', readOnly: true })
  const [one, other] = [await connect(broker, app), await connect(broker, app, { user: 'bo' })]
  const headers = bearer(one.brokerToken)
  const tiles = await tilesOf(broker, headers)
  const link = await createLink(broker, headers, `${tiles}/{z}/{x}/{y}`)
  const tile = link.replace('{z}/{x}/{y}', '7/66/45')
  const drive = `${broker.url}/drive${tiles}/7/66/45`
  const first = await fetch(drive, { headers })
  t.equal(first.status, 200)
  const picture = Buffer.from(await first.arrayBuffer())
  for (const answer of [await fetch(drive, { headers }), await fetch(tile)]) {
    t.equal(answer.status, 200)
    t.ok(Buffer.from(await answer.arrayBuffer()).equals(picture))
  }
  t.equal(tileCalls(broker), 1, 'Ellipsis Drive draws it once')
  const ofOther = await fetch(drive, { headers: bearer(other.brokerToken) })
  t.equal(ofOther.status, 403, 'another account gets its own answer')

  await broker.services.apps.set(app.id, { allow: ['GET /account/**'] }, 'test')
  t.equal((await fetch(drive, { headers })).status, 403, 'a narrower policy holds for the cache')
  t.equal((await fetch(tile)).status, 404)
  await broker.services.apps.set(app.id, { allow: [] }, 'test')
  t.equal((await fetch(tile)).status, 200)
  const [grant] = await broker.services.store.listGrants(
    (await broker.services.store.getGrant(await grantIdOf(broker, app)))?.connectionId ?? '',
  )
  await broker.services.connections.revokeGrant(grant?.id ?? '', 'test')
  t.equal((await fetch(drive, { headers })).status, 401)
  t.equal((await fetch(tile)).status, 404)
})

async function grantIdOf({ services: { store } }: TestBroker, app: App): Promise<string> {
  const filter = { search: 'amelie', statuses: ['active' as const], appId: app.id }
  const { rows } = await store.walkConnections(filter, null)
  const [grant] = await store.listGrants(rows[0]?.id ?? '')
  return grant?.id ?? ''
}

t.test('a budget counts what reaches Ellipsis Drive', async (t) => {
  const env = { BROKER_CACHE_DIR: t.testdir() }
  const broker = await buildBroker(t, { env })
  const app = await addApp(broker, { access: 'proxy', requestsPerMinute: 3 })
  const headers = bearer((await connect(broker, app)).brokerToken)
  const tiles = await tilesOf(broker, headers)
  const get = (tile: string) => fetch(`${broker.url}/drive${tiles}/${tile}`, { headers })
  for (let count = 0; count < 5; count++) t.equal((await get('7/66/45')).status, 200)
  t.equal((await get('7/66/46')).status, 200)
  const refused = await get('7/66/47')
  t.equal(refused.status, 429)
  t.match(await refused.json(), { error: 'slow_down', error_description: /budget of 3 requests/ })
  const retryAfter = Number(refused.headers.get('retry-after'))
  t.ok(retryAfter >= 1 && retryAfter <= 60, `${retryAfter} s`)
  t.equal((await get('7/66/45')).status, 200, 'the cache still answers')
  broker.clock.advance(retryAfter * 1000)
  t.equal((await get('7/66/47')).status, 200)
})

t.test('a page with a session uses the proxy and links', async (t) => {
  const broker = await buildBroker(t)
  const app = await addSessionApp(broker, { readOnly: true })
  const { cookie } = await signIn(broker, app)
  const answer = await fromPage(broker, app, cookie, { path: '/drive/account' })
  t.match(answer, { status: 200, body: { username: 'amelie' } })
  t.equal(answer.headers.get('access-control-allow-credentials'), 'true')
  const headers = sessionHeaders(app, cookie)
  const tiles = await tilesOf(broker, headers)
  const link = await createLink(broker, headers, `${tiles}/{z}/{x}/{y}`)
  const tile = await fetch(link.replace('{z}/{x}/{y}', '7/66/45'))
  t.match(tile, { status: 200 })
  t.equal(tile.headers.get('access-control-allow-credentials'), null)
  const wrong = { origin: 'https://evil.example' }
  for (const path of ['/drive/account', '/links'])
    t.equal((await fromPage(broker, app, cookie, { path, headers: wrong })).status, 403, path)
  t.equal(
    (await fetch(`${broker.url}/drive/account`, { headers: { cookie: headers.cookie ?? '' } }))
      .status,
    401,
  )
  await fromPage(broker, app, cookie, { method: 'DELETE' })
  t.equal((await fromPage(broker, app, cookie, { path: '/drive/account' })).status, 401)
  t.equal((await fetch(link.replace('{z}/{x}/{y}', '7/66/45'))).status, 404)
})

t.test('a confidential app sends its token to the proxy only if that is its access', async (t) => {
  const broker = await buildBroker(t)
  for (const [access, status] of [
    ['token', 401],
    ['proxy', 200],
  ] as const) {
    const added = await addAppWithSecret(broker, { confidential: true, access })
    const { app, clientSecret } = added
    const { returned, verifier, parameters } = await authorize(broker, app)
    const { body } = await postForm(`${broker.url}/oauth/token`, {
      grant_type: 'authorization_code',
      client_id: app.id,
      client_secret: clientSecret?.reveal() ?? '',
      code: returned.searchParams.get('code') ?? '',
      redirect_uri: parameters.redirect_uri,
      code_verifier: verifier,
    })
    const brokerToken = String(body.access_token)
    const headers = bearer(brokerToken)
    t.equal((await fetch(`${broker.url}/drive/account`, { headers })).status, status, access)
    t.equal((await fetch(`${broker.url}/links`, { headers })).status, status, access)
  }
})
