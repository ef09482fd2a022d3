import type {
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  preHandlerAsyncHookHandler,
} from 'fastify'
import { hashOfPolicy, policyOf } from '../../oauth/access-policy.ts'
import { issuesCode } from '../../oauth/authorization-code.ts'
import { PARAMETER_NAMES } from '../../oauth/authorization-parameters.ts'
import type { AuthorizationRequest } from '../../oauth/authorize.ts'
import { omitEmpty } from '../../oauth/parameters.ts'
import type { Parameters } from '../../oauth/parameters.ts'
import { BrokerError } from '../../errors.ts'
import { protectForms } from '../plugins/csrf.ts'
import { allowFormRedirects } from '../plugins/headers.ts'
import type { HttpServices } from '../../services.ts'
import { consentModel } from './consent-model.ts'
import { page, redirect, skipValidation, tooManyFailures } from './schemas.ts'
import { redirectToUpstream } from './upstream-flow.ts'

/** Documentation only: the domain validates, because each error has its own recipient. */
const querySchema = (required: string[]) => {
  const descriptions = {
    response_type: '`code`.',
    client_id: 'The app’s id.',
    redirect_uri: 'A registered redirect URI. May be omitted if the app has only one.',
    state: 'Returned unchanged; 1,024 bytes at most.',
    scope: '`openid`, `profile`, `projects`, separated by spaces. Omitted: `projects`.',
    nonce: 'Returned in the ID token; 256 ASCII characters at most.',
    prompt:
      '`consent` and `login` show the consent page to users of trusted apps too; `none` is refused with `login_required`.',
    max_age: 'Always met: every authorization goes through Ellipsis Drive.',
    code_challenge: 'S256 challenge of the PKCE verifier.',
    code_challenge_method: '`S256`.',
    login_hint: 'Username or id of the account that the user should connect; 255 bytes at most.',
    request_uri:
      'From /oauth/par. Then all other parameters except `client_id` are ignored (RFC 9126 4).',
    ui_locales:
      'Preferred languages of the pages, separated by spaces, such as `de fr`. Omitted: those of the browser.',
    dpop_jkt: 'Thumbprint of the key that will redeem the code (RFC 9449 10).',
  }
  const properties = Object.fromEntries(
    Object.entries(descriptions).map(([name, description]) => [
      name,
      { type: 'string', description },
    ]),
  )
  return { type: 'object', properties, required }
}

const response = {
  200: page('The consent page.'),
  303: redirect('To the app with an error or, for a trusted app, to Ellipsis Drive.'),
  400: page('The app or its redirect URI is invalid: an error page without a redirect.'),
  429: tooManyFailures,
}

const authorizeSchema = {
  operationId: 'authorize',
  tags: ['connect'],
  summary: 'Connect a user',
  description:
    'The authorization endpoint: RFC 6749 4.1.1, RFC 7636, RFC 9207. Send the browser here. It returns to the app with `code`, `state` and `iss`, or with `error`.',
  security: [],
  querystring: querySchema([
    'response_type',
    'client_id',
    'code_challenge',
    'code_challenge_method',
  ]),
  response,
}

const connectSchema = {
  operationId: 'connect',
  tags: ['connect'],
  summary: 'Connect a user with a plain link',
  description:
    'For a button or an e-mail. Without a challenge it issues no code: it connects the user, and shows a page with a link back to the app.',
  security: [],
  params: {
    type: 'object',
    properties: { clientId: { type: 'string', description: 'The app’s id.' } },
  },
  querystring: querySchema([]),
  response,
}

/** The authorization endpoint (RFC 6749 3.1), its consent page, and the plain connect link. */
export const authorizeRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const config = { page: true }
  app.addHook('onRequest', app.failureLimits.check)
  protectForms(app, services.config)

  const validatorCompiler = skipValidation
  const authorize = { schema: authorizeSchema, validatorCompiler, config }
  app.get('/oauth/authorize', authorize, async (request, reply) => {
    const parameters = omitEmpty(request.query as Parameters)
    return askConsent({ parameters, plain: false }, request, reply, services)
  })

  const connect = { schema: connectSchema, validatorCompiler, config }
  app.get('/connect/:clientId', connect, async (request, reply) => {
    const { clientId } = request.params as { clientId: string }
    const parameters = { ...omitEmpty(request.query as Parameters), client_id: clientId }
    return askConsent({ parameters, plain: true }, request, reply, services)
  })

  const renewForm = async (request: FastifyRequest, reply: FastifyReply) => {
    const { decision, plain, ...parameters } = (request.body ?? {}) as Parameters
    const form = {
      parameters,
      plain: plain === 'yes',
      problem: reply.translator().text('form.expired'),
    }
    return askConsent(form, request, reply, services)
  }

  // Only the decision is our form. An app may post its authorization request (OpenID Connect Core 3.1.2.1).
  const preHandler: preHandlerAsyncHookHandler = async (request, reply) =>
    isDecision(request) ? app.csrfProtection(request, reply) : undefined
  const decide = { config: { ...config, renewForm }, preHandler }
  app.post('/oauth/authorize', decide, async (request, reply) => {
    const posted = omitEmpty((request.body ?? {}) as Parameters)
    const { decision, plain, shown_policy: shown = '', ...parameters } = posted
    if (decision === undefined)
      return askConsent({ parameters, plain: false }, request, reply, services)
    const authorization = await services.connect.check(parameters, plain === 'yes')
    reply.useLocales(authorization.uiLocales)
    if (decision !== 'allow') return deny(authorization, reply)
    if (shown !== hashOfPolicy(policyOf(authorization.app))) {
      const problem = reply.translator().text('consent.policyChanged')
      const form = { parameters, plain: plain === 'yes', problem }
      return askConsent(form, request, reply, services)
    }
    return redirectToUpstream(authorization, request, reply, services)
  })
}

const isDecision = ({ body }: FastifyRequest): boolean =>
  (body as { decision?: unknown } | undefined)?.decision !== undefined

/** @param problem why the form is shown again; without one, trusted apps need no consent */
async function askConsent(
  { parameters, plain, problem }: { parameters: Parameters; plain: boolean; problem?: string },
  request: FastifyRequest,
  reply: FastifyReply,
  services: HttpServices,
) {
  const { config, connect } = services
  const authorization = await connect.check(parameters, plain)
  reply.useLocales(authorization.uiLocales)
  if (problem === undefined && !connect.mustAsk(authorization)) {
    return redirectToUpstream(authorization, request, reply, services)
  }
  const { app, redirectUri, scope } = authorization
  allowFormRedirects(reply, config)
  // They are validated again when the form is posted.
  const isPushed = parameters.request_uri !== undefined
  const names = isPushed ? ['client_id', 'request_uri'] : PARAMETER_NAMES
  const fields = names.flatMap((name) => {
    const value = parameters[name]
    return typeof value === 'string' ? [{ name, value }] : []
  })
  return reply.page('consent', {
    ...consentModel(app, { redirectUri, scope }, reply.translator()),
    previewNote: null,
    problem: problem ?? null,
    action: `${config.basePath}/oauth/authorize`,
    fields: [
      ...fields,
      ...(plain ? [{ name: 'plain', value: 'yes' }] : []),
      { name: 'shown_policy', value: hashOfPolicy(policyOf(app)) },
      { name: '_csrf', value: reply.generateCsrf() },
    ],
    operator: config.operator,
  })
}

/** Redirects to the app with `access_denied`; after a plain link, which issues no code, shows a page. */
function deny(authorization: AuthorizationRequest, reply: FastifyReply) {
  const { app, redirectUri, state } = authorization
  const fragment = app.deliver === 'fragment'
  if (fragment || app.session === 'cookie' || issuesCode(authorization)) {
    const returnTo = { redirectUri, state, fragment }
    throw new BrokerError('access_denied', { reason: 'user_denied', returnTo })
  }
  const backTo = redirectUri === '' ? null : redirectUri
  return reply.page('refused', { appName: app.name, backTo, onDevice: false })
}
