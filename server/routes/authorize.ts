import csrf from '@fastify/csrf-protection'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { checkAuthorization } from '../domain/authorize.ts'
import type { AuthorizationRequest, Parameters } from '../domain/authorize.ts'
import { deviceLabel } from '../domain/device.ts'
import { BrokerError } from '../errors.ts'
import { cookieName, setFlowCookie } from '../plugins/flow-cookies.ts'
import { contentSecurityPolicy, cspSource } from '../plugins/headers.ts'
import { checkSameOrigin } from '../plugins/same-origin.ts'
import type { Services } from '../services.ts'

/** What the asking page carries from the request to its answer; checked anew when it comes back. */
const CARRIED = [
  'client_id',
  'redirect_uri',
  'response_type',
  'response_mode',
  'scope',
  'state',
  'code_challenge',
  'code_challenge_method',
  'connection',
]

/** The authorization endpoint (RFC 6749 3.1), its asking page, and the plain connect link. */
export const authorizeRoutes: FastifyPluginAsync<{ services: Services }> = async (
  app,
  { services },
) => {
  const config = { page: true }
  app.addHook('onRequest', app.failures.check)
  await protectForms(app, services)

  app.get('/oauth/authorize', { config }, async (request, reply) => {
    const parameters = request.query as Parameters
    return ask(parameters, false, request, reply, services)
  })

  app.get('/connect/:clientId', { config }, async (request, reply) => {
    const { clientId } = request.params as { clientId: string }
    const parameters = { ...(request.query as Parameters), client_id: clientId }
    return ask(parameters, true, request, reply, services)
  })

  const answered = { config, preHandler: app.csrfProtection.bind(app) }
  app.post('/oauth/authorize', answered, async (request, reply) => {
    checkSameOrigin(request, services.config.publicUrl)
    const { decision, plain, ...parameters } = request.body as Parameters
    const asked = await checkAuthorization(services.store, parameters, plain === 'yes')
    if (decision === 'allow') return begin(asked, request, reply, services)
    return refuse(asked, reply)
  })
}

/** CSRF tokens bound to the browser by a cookie (checked in preHandler: earlier there is no body). */
async function protectForms(app: FastifyInstance, { config }: Services): Promise<void> {
  const secure = config.publicUrl.startsWith('https:')
  await app.register(csrf, {
    cookieKey: cookieName('csrf', secure),
    cookieOpts: { path: '/', httpOnly: true, sameSite: 'lax', secure },
  })
}

/** Asks the visitor, unless the app is one of the host's own. */
async function ask(
  parameters: Parameters,
  plain: boolean,
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
) {
  const { config, connect, store } = services
  const asked = await checkAuthorization(store, parameters, plain)
  if (!connect.mustAsk(asked)) return begin(asked, request, reply, services)
  const targets = [config.ellipsis.apiUrl, config.ellipsis.webUrl, asked.redirectUri]
  const sources = targets.filter((target) => target !== null).map(cspSource)
  const secure = config.publicUrl.startsWith('https:')
  void reply.header('content-security-policy', contentSecurityPolicy(secure, sources))
  const fields = CARRIED.flatMap((name) => {
    const value = parameters[name]
    return typeof value === 'string' ? [{ name, value }] : []
  })
  return reply.page('ask', {
    appName: asked.app.name,
    returnsTo: readableTarget(asked.redirectUri),
    fragment: asked.app.deliver === 'fragment',
    action: `${config.basePath}/oauth/authorize`,
    fields: [
      ...fields,
      ...(plain ? [{ name: 'plain', value: 'yes' }] : []),
      { name: '_csrf', value: reply.generateCsrf() },
    ],
    operator: config.operator,
  })
}

/** Off to Ellipsis Drive. */
async function begin(
  asked: AuthorizationRequest,
  request: FastifyRequest,
  reply: FastifyReply,
  { config, connect }: Services,
) {
  const flow = await connect.begin(asked, deviceLabel(request.headers['user-agent']))
  setFlowCookie(request, reply, flow, config.publicUrl.startsWith('https:'))
  return reply.redirect(flow.location, 303)
}

/** The visitor refused: the app is told, or, where nothing is issued, the visitor. */
function refuse({ app, challenge, redirectUri, state }: AuthorizationRequest, reply: FastifyReply) {
  const fragment = app.deliver === 'fragment'
  if (fragment || challenge !== null) {
    throw new BrokerError('access_denied', { returnTo: { redirectUri, state, fragment } })
  }
  return reply.page('refused', { appName: app.name, backTo: redirectUri })
}

/** Where the visitor will return to, as people read it. */
function readableTarget(redirectUri: string): string {
  const { protocol, host } = new URL(redirectUri)
  return protocol === 'https:' || protocol === 'http:' ? host : `the app at ${protocol}`
}
