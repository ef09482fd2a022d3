import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationRequest, Parameters } from '../../oauth/authorize.ts'
import { BrokerError } from '../../errors.ts'
import { protectForms } from '../plugins/csrf.ts'
import { checkSameOrigin } from '../plugins/same-origin.ts'
import type { HttpServices } from '../../services.ts'
import { allowForm, begin } from './begin.ts'
import { page, redirect } from './schemas.ts'

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
  'dpop_jkt',
  'connection',
]

/** Checked by the domain, which knows to whom each fault is told; here it is documentation. */
const unchecked = () => () => true

const query = (required: string[]) => {
  const names = ['response_type', 'client_id', 'redirect_uri', 'state', 'scope']
  const about: Record<string, string> = {
    response_type: '`code`.',
    client_id: 'The app’s id.',
    redirect_uri: 'A registered one. May be left out if there is only one.',
    state: 'Given back unchanged; 1,024 characters at most.',
    scope: '`projects`, or left out.',
    code_challenge: 'S256, of the verifier.',
    code_challenge_method: '`S256`.',
    dpop_jkt: 'Thumbprint of the key that the code will be redeemed with (RFC 9449 10).',
  }
  const all = [...names, 'code_challenge', 'code_challenge_method', 'dpop_jkt']
  const properties = Object.fromEntries(
    all.map((name) => [name, { type: 'string', description: about[name] }]),
  )
  return { type: 'object', properties, required }
}

const response = {
  200: page('Asks the visitor whether the app may.'),
  303: redirect('Back to the app with an error, or, for a trusted app, on to Ellipsis Drive.'),
  400: page('The app or its redirect URI is wrong: a page, and nobody is sent anywhere.'),
  429: page('This address has failed too often; Retry-After says how long to wait.'),
}

const authorizeSchema = {
  operationId: 'authorize',
  tags: ['connect'],
  summary: 'Connect a user',
  description:
    'The authorization endpoint: RFC 6749 4.1.1, RFC 7636, RFC 9207. A browser goes here, and returns to the app with `code`, `state` and `iss`, or with `error`.',
  security: [],
  querystring: query(['response_type', 'client_id', 'code_challenge', 'code_challenge_method']),
  response,
}

const connectSchema = {
  operationId: 'connect',
  tags: ['connect'],
  summary: 'Connect a user by a plain link',
  description:
    'For a button or an e-mail. Without a challenge it issues nothing: it connects, and ends on a page that leads back to the app.',
  security: [],
  params: {
    type: 'object',
    properties: { clientId: { type: 'string', description: 'The app’s id.' } },
  },
  querystring: query([]),
  response,
}

/** The authorization endpoint (RFC 6749 3.1), its asking page, and the plain connect link. */
export const authorizeRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const config = { page: true }
  app.addHook('onRequest', app.failures.check)
  await protectForms(app, services.config)

  const validatorCompiler = unchecked
  const authorize = { schema: authorizeSchema, validatorCompiler, config }
  app.get('/oauth/authorize', authorize, async (request, reply) => {
    const parameters = request.query as Parameters
    return ask(parameters, false, request, reply, services)
  })

  const connect = { schema: connectSchema, validatorCompiler, config }
  app.get('/connect/:clientId', connect, async (request, reply) => {
    const { clientId } = request.params as { clientId: string }
    const parameters = { ...(request.query as Parameters), client_id: clientId }
    return ask(parameters, true, request, reply, services)
  })

  const answered = { config, preHandler: app.csrfProtection.bind(app) }
  app.post('/oauth/authorize', answered, async (request, reply) => {
    checkSameOrigin(request, services.config.publicUrl)
    const { decision, plain, ...parameters } = request.body as Parameters
    const asked = await services.connect.check(parameters, plain === 'yes')
    if (decision === 'allow') return begin(asked, request, reply, services)
    return refuse(asked, reply)
  })
}

/** Asks the visitor, unless the app is one of the host's own. */
async function ask(
  parameters: Parameters,
  plain: boolean,
  request: FastifyRequest,
  reply: FastifyReply,
  services: HttpServices,
) {
  const { config, connect } = services
  const asked = await connect.check(parameters, plain)
  if (!connect.mustAsk(asked)) return begin(asked, request, reply, services)
  allowForm(reply, services, asked.redirectUri)
  const fields = CARRIED.flatMap((name) => {
    const value = parameters[name]
    return typeof value === 'string' ? [{ name, value }] : []
  })
  return reply.page('consent', {
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

/** The visitor refused: the app is told, or, where nothing is issued, the visitor. */
function refuse({ app, challenge, redirectUri, state }: AuthorizationRequest, reply: FastifyReply) {
  const fragment = app.deliver === 'fragment'
  if (fragment || challenge !== null) {
    throw new BrokerError('access_denied', { returnTo: { redirectUri, state, fragment } })
  }
  const backTo = redirectUri === '' ? null : redirectUri
  return reply.page('refused', { appName: app.name, backTo, onDevice: false })
}

/** Where the visitor will return to, as people read it; `null`: nowhere. */
function readableTarget(redirectUri: string): string | null {
  if (redirectUri === '') return null
  const { protocol, host } = new URL(redirectUri)
  return protocol === 'https:' || protocol === 'http:' ? host : `the app at ${protocol}`
}
