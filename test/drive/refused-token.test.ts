import t from 'tap'
import { exchange } from '../helper.ts'
import { buildDrive } from './upstream.ts'

/** An upstream that refuses the first access token that it sees. */
function refuseFirstToken() {
  let first: string | undefined
  return (authorization: string | undefined): boolean => {
    first ??= authorization
    return authorization === first
  }
}

t.test('401 for GET and HEAD: refreshes once, and sends the request again', async (t) => {
  for (const method of ['GET', 'HEAD']) {
    const isRefused = refuseFirstToken()
    const { get, upstream, broker, brokerToken } = await buildDrive(t, (request, response) =>
      isRefused(request.headers.authorization)
        ? response.writeHead(401).end('{"message":"expired"}')
        : response.end('ok'),
    )
    const answers = await Promise.all([get('/1', { method }), get('/2', { method })])
    t.strictSame(
      answers.map(({ status }) => status),
      [200, 200],
    )
    t.ok(upstream.requests.length <= 4)
    const { body } = await exchange(broker, brokerToken)
    t.equal(upstream.requests.at(-1)?.headers.authorization, `Bearer ${String(body.access_token)}`)
  }
})

t.test('401 for other methods: refreshes, and passes 401 on', async (t) => {
  const isRefused = refuseFirstToken()
  const { get, upstream } = await buildDrive(t, (request, response) => {
    request.resume()
    if (isRefused(request.headers.authorization)) response.writeHead(401).end('{"message":"no"}')
    else response.end('stored')
  })
  const send = () => get('/1', { method: 'POST', body: 'data' })
  const answer = await send()
  t.equal(answer.status, 401)
  t.equal(answer.headers.get('ellipsis-broker-error'), null, 'the broker token is not at fault')
  t.equal(await answer.text(), '{"message":"no"}')
  t.equal(upstream.requests.length, 1, 'sent once')
  t.equal(await (await send()).text(), 'stored', 'the next request has a new token')
})

t.test(
  '401 for every token: passes it on, and refreshes no more than once in a while',
  async (t) => {
    const { get, upstream, broker, brokerToken } = await buildDrive(t, (_request, response) =>
      response.writeHead(401).end('{"message":"never"}'),
    )
    for (const requests of [2, 3, 4]) {
      const answer = await get('/1')
      t.equal(answer.status, 401)
      t.equal(answer.headers.get('ellipsis-broker-error'), null)
      t.equal(await answer.text(), '{"message":"never"}')
      t.equal(upstream.requests.length, requests)
    }
    t.equal((await exchange(broker, brokerToken)).status, 200, 'the connection is not at fault')
  },
)

t.test('401, and the refresh fails: the errors of /exchange', async (t) => {
  const { get, broker, app, connectionId } = await buildDrive(t, (request, response) => {
    request.resume()
    response.writeHead(401).end()
  })
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1000 })
  const failed = await get('/1')
  t.equal(failed.status, 503)
  t.ok(failed.headers.get('retry-after'))
  t.match(await failed.json(), { error: 'temporarily_unavailable' })

  broker.standIn.clearFaults()
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  broker.clock.advance(60_000)
  for (const method of ['GET', 'POST']) {
    const refused = await get('/1', { method })
    t.equal(refused.status, 403, method)
    t.equal(refused.headers.get('ellipsis-broker-error'), 'reconnect_required')
    t.match(await refused.json(), {
      error: 'reconnect_required',
      reconnect_url: `${broker.url}/connect/${app.id}?connection=${connectionId}`,
    })
    broker.clock.advance(600_000)
  }
})
