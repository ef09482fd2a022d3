import fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { BrokerError } from '../../../server/errors.ts'
import { readCaller } from '../../../server/http/routes/client-authentication.ts'
import { addApp, buildBroker, connect } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { addSessionApp, sessionHeaders, signIn } from './begin.ts'

/** A server whose routes say who calls: `/sessions` accepts sessions, `/tokens` does not. */
function startRoutes(t: Test, { services }: TestBroker) {
  const server = fastify()
  t.teardown(() => server.close())
  server.setErrorHandler((error, _request, reply) => {
    const code = error instanceof BrokerError ? error.code : String(error)
    return reply.code(400).send({ code })
  })
  for (const [url, acceptsSession] of [
    ['/sessions', true],
    ['/tokens', false],
  ] as const)
    server.get(url, { config: { acceptsSession } }, (request, reply) =>
      readCaller(request, reply, services),
    )
  return async (url: string, headers: Record<string, string>) => {
    const answer = await server.inject({ url, headers })
    return { body: answer.json<object>(), setCookie: answer.headers['set-cookie'] }
  }
}

t.test('a caller is known by its token or, where accepted, its session', async (t) => {
  const broker = await buildBroker(t)
  const ask = startRoutes(t, broker)
  const app = await addSessionApp(broker)
  const { cookie } = await signIn(broker, app)
  const { brokerToken } = await connect(broker, await addApp(broker))
  const bearer = { authorization: `Bearer ${brokerToken}` }
  const session = sessionHeaders(app, cookie)

  for (const url of ['/sessions', '/tokens']) {
    t.match(await ask(url, bearer), { body: { brokerToken, client: null, proof: null } })
    t.match(await ask(url, {}), { body: { code: 'token_refused' } })
    // A cookie alone is no session: browsers add it to requests of any page.
    const { cookie: pair = '' } = session
    t.match(await ask(url, { cookie: pair }), { body: { code: 'token_refused' } })
    t.match(await ask(url, { ...bearer, cookie: pair }), { body: { brokerToken } })
    t.match(await ask(url, { ...session, ...bearer }), { body: { code: 'invalid_request' } })
  }
  const client = { id: app.id, authenticated: false }
  t.match(await ask('/sessions', session), {
    body: { brokerToken: cookie, client, isSession: true },
    setCookie: undefined,
  })
  t.match(await ask('/tokens', session), { body: { code: 'invalid_request' } })

  broker.clock.advance(16 * 86_400_000)
  t.match(await ask('/sessions', session), { body: { isSession: true }, setCookie: /Max-Age=2592/ })
  const swapped = broker.services.swap.renew({ brokerToken: cookie, client: null, proof: null })
  await t.rejects(swapped, { code: 'unauthorized_client' }, 'not without its cookie')
  const renewed = broker.services.swap.swap({
    ...{ brokerToken, isSession: true },
    client,
    proof: null,
  })
  await t.rejects(renewed, { code: 'invalid_client' }, 'no other token as a session')
})
