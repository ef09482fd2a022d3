import t from 'tap'
import type { Grant } from '../../../sdk/server.ts'
import { begin, errorOf } from './begin.ts'

const collect = async (grants: AsyncIterable<Grant>): Promise<string[]> => {
  const ids = []
  for await (const { grantId } of grants) ids.push(grantId)
  return ids
}

t.test('a job lists its grants, gets a token for each, and revokes one', async (t) => {
  const { broker, client, grantIds, requests } = await begin(t, { users: 3 })
  const seen: Grant[] = []
  for await (const grant of client.listGrants({ status: 'active' })) {
    seen.push(grant)
    const token = await client.getToken(grant.grantId)
    t.ok(broker.standIn.issued().includes(token.accessToken))
    t.ok(Math.abs(token.expiresAt - broker.clock.now() / 1000 - 3600) < 60)
    t.strictSame(await client.getToken(grant.grantId), token, 'the broker caches')
  }
  t.strictSame(
    seen.map(({ grantId }) => grantId),
    grantIds,
  )
  t.match(seen[0], {
    grantId: 'grant_many0',
    connectionId: 'con_many0',
    externalId: 'user-0',
    status: 'active',
    scope: 'projects',
    createdAt: Number,
    lastUsedAt: null,
    reconnectUrl: null,
  })
  const tokens = requests.paths.filter((path) => path === 'POST /oauth/token')
  t.equal(tokens.length, 1, 'one app token for everything')

  t.equal((await client.setExternalId('grant_many1', 'anna')).externalId, 'anna')
  t.equal((await client.getGrant('grant_many1')).externalId, 'anna')
  t.strictSame(await collect(client.listGrants({ externalId: 'anna' })), ['grant_many1'])
  t.equal((await client.setExternalId('grant_many1', null)).externalId, null)

  await client.revokeGrant('grant_many1')
  await client.revokeGrant('grant_many1')
  t.match(await client.getGrant('grant_many1'), { status: 'revoked', reconnectUrl: String })
  const ended = await errorOf(client.getToken('grant_many1'))
  t.match(ended, { code: 'invalid_token', reconnectUrl: /^http.*\/connect\/app_/ })
  t.strictSame(await collect(client.listGrants({ status: 'active', after: 'grant_many0' })), [
    'grant_many2',
  ])
  t.match(await errorOf(client.getGrant('grant_of another/app')), { code: 'invalid_request' })
})

t.test('pages are fetched as they are needed', async (t) => {
  const { client, grantIds, requests } = await begin(t, { users: 230 })
  const grants = client.listGrants()
  await grants.next()
  t.strictSame(requests.paths, ['POST /oauth/token', 'GET /v1/grants'])
  await grants.return()
  t.strictSame(await collect(client.listGrants()), grantIds)
  t.equal(requests.paths.length, 2 + 3, 'three pages')
})

t.test('min_ttl and force', async (t) => {
  const { broker, client } = await begin(t, { users: 1 })
  const first = await client.getToken('grant_many0')
  broker.clock.advance(11_000)
  const forced = await client.getToken('grant_many0', { force: true })
  t.not(forced.accessToken, first.accessToken)
  const lasting = await client.getToken('grant_many0', { minTtl: 3595 })
  t.equal(lasting.accessToken, forced.accessToken, 'the last ten seconds satisfy any value')
  broker.clock.advance(11_000)
  const longer = await client.getToken('grant_many0', { minTtl: 3595 })
  t.not(longer.accessToken, forced.accessToken)
})

t.test('calls at once share one app token, also when the broker ends it', async (t) => {
  const { broker, client, grantIds, requests } = await begin(t, { users: 20 })
  const appTokens = () => requests.paths.filter((path) => path === 'POST /oauth/token').length
  const all = () => Promise.all(grantIds.map((id) => client.getToken(id)))
  await all()
  t.equal(appTokens(), 1)
  broker.clock.advance(601_000)
  await all()
  t.equal(appTokens(), 2, 'it had expired by the clock of the broker')
})

t.test('an app token that expires by this clock is replaced before', async (t) => {
  const { client, requests } = await begin(t, { users: 1 })
  requests.answerWith(Response.json({ access_token: 'short', expires_in: 30 }))
  await errorOf(client.getGrant('x'))
  t.strictSame(requests.paths, [
    'POST /oauth/token',
    'GET /v1/grants/x',
    'POST /oauth/token',
    'GET /v1/grants/x',
  ])
  requests.paths.length = 0
  await client.getGrant('grant_many0')
  t.strictSame(requests.paths, ['GET /v1/grants/grant_many0'])
})

t.test('a user who must reconnect', async (t) => {
  const { broker, client } = await begin(t, { users: 1 })
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  const error = await errorOf(broker.clock.hurry(client.getToken('grant_many0')))
  t.match(error, { code: 'reconnect_required', reconnectUrl: /\/connect\/app_/ })
  const grant = await client.getGrant('grant_many0')
  t.match(grant, { status: 'needs_reconnect', reconnectUrl: error.reconnectUrl })
})
