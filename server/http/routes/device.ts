import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { hashOfPolicy, permissionsOf, policyOf } from '../../oauth/access-policy.ts'
import type { PendingDevice } from '../../oauth/device-flow.ts'
import { describeLimit } from '../../oauth/duration.ts'
import { readScopes } from '../../oauth/scope.ts'
import { readUserCode, formatUserCode } from '../../oauth/user-code.ts'
import { protectForms } from '../plugins/csrf.ts'
import { allowFormRedirects } from '../plugins/headers.ts'
import type { HttpServices } from '../../services.ts'
import { deviceName } from './me-view.ts'
import { page, skipValidation } from './schemas.ts'
import { redirectToUpstream } from './upstream-flow.ts'

const schema = {
  operationId: 'device',
  tags: ['connect'],
  summary: 'Enter the code of a device',
  description:
    'The verification URI of RFC 8628 3.3. A code in the URL is only filled in: the user still compares and confirms it.',
  security: [],
  querystring: {
    type: 'object',
    properties: { user_code: { type: 'string', description: 'The code to fill in.' } },
  },
  response: {
    200: page('The page to enter the code.'),
    429: page('Too many wrong codes from this address; Retry-After says how long to wait.'),
  },
}

/** The pages where the user enters the code of a device, and allows or denies the app on it. */
export const deviceRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const config = { page: true }
  app.addHook('onRequest', app.failureLimits.check)
  protectForms(app, services.config)

  const enter = { schema, validatorCompiler: skipValidation, config }
  app.get('/device', enter, async (request, reply) => {
    const { user_code: userCode } = request.query as Record<string, unknown>
    return askCode(typeof userCode === 'string' ? userCode : '', null, reply, services)
  })

  const renewForm = async (request: FastifyRequest, reply: FastifyReply) =>
    askCode(enteredCode(request), reply.translator().text('form.expired'), reply, services)

  const decide = { config: { ...config, renewForm }, preHandler: app.csrfProtection }
  app.post('/device', decide, async (request, reply) => {
    const { decision, shown_policy: shown = '' } = request.body as Record<string, unknown>
    const entered = enteredCode(request)
    const { text } = reply.translator()
    const pending = await services.deviceFlow.find(entered)
    if (!pending) {
      // A double click, or a reload: it ends as the first time.
      const denied = decision === 'deny' && (await services.deviceFlow.findDenied(entered))
      return denied ? showDenied(denied, reply) : rejectCode(entered, request, reply)
    }
    if (decision === 'deny') return deny(pending, reply, services)
    if (decision !== 'allow') return askConsent(pending, entered, null, reply, services)
    if (shown !== hashOfPolicy(policyOf(pending.app)))
      return askConsent(pending, entered, text('consent.policyChanged'), reply, services)
    return allow(pending, request, reply, services)
  })

  /** A wrong code may be a guess, so it counts as a failure. */
  async function rejectCode(entered: string, request: FastifyRequest, reply: FastifyReply) {
    const limitError = await app.failureLimits.count(request)
    if (limitError) throw limitError
    void reply.code(400)
    request.refusalReason = 'user_code_unknown'
    return askCode(entered, reply.translator().text('device.wrongCode'), reply, services)
  }
}

function enteredCode({ body }: FastifyRequest): string {
  const { user_code: userCode } = (body ?? {}) as Record<string, unknown>
  return typeof userCode === 'string' ? userCode : ''
}

function askCode(
  entered: string,
  problem: string | null,
  reply: FastifyReply,
  { config }: HttpServices,
): FastifyReply {
  return reply.page('device', {
    userCode: formatUserCode(readUserCode(entered)),
    problem,
    action: `${config.basePath}/device`,
    fields: [{ name: '_csrf', value: reply.generateCsrf() }],
    operator: config.operator,
  })
}

function askConsent(
  { app, code }: PendingDevice,
  entered: string,
  problem: string | null,
  reply: FastifyReply,
  { config, clock }: HttpServices,
): FastifyReply {
  allowFormRedirects(reply, config)
  const userCode = formatUserCode(readUserCode(entered))
  const translator = reply.translator()
  const { text, minutesAgo, amount } = translator
  const minutes = Math.floor((clock.now() - code.createdAt) / 60_000)
  return reply.page('device-consent', {
    appName: app.name,
    userCode,
    scopes: readScopes(code.scope),
    permissions: permissionsOf(app),
    problem,
    offline: app.offline,
    device: deviceName(code.device, translator),
    address: code.address,
    requested: minutes < 1 ? text('device.justNow') : minutesAgo(minutes),
    atMost: describeLimit(app, amount),
    action: `${config.basePath}/device`,
    fields: [
      { name: 'user_code', value: userCode },
      { name: 'shown_policy', value: hashOfPolicy(policyOf(app)) },
      { name: '_csrf', value: reply.generateCsrf() },
    ],
    operator: config.operator,
  })
}

/** Continues at Ellipsis Drive like any authorization, but ends on a page of the broker. */
async function allow(
  { app, code }: PendingDevice,
  request: FastifyRequest,
  reply: FastifyReply,
  services: HttpServices,
) {
  const noRedirect = { redirectUri: '', state: null, challenge: null, nonce: null, jkt: null }
  const { scope, deviceCodeHash } = code
  const rest = {
    ...{ reconnect: null, loginHint: null, isStrictAccount: false, externalId: null },
    ...{ pushedHash: null, isConsentRequested: true, uiLocales: null },
  }
  const authorization = { app, scope, deviceCodeHash, ...noRedirect, ...rest }
  return redirectToUpstream(authorization, request, reply, services)
}

async function deny(pending: PendingDevice, reply: FastifyReply, { deviceFlow }: HttpServices) {
  await deviceFlow.deny(pending.code)
  return showDenied(pending, reply)
}

function showDenied({ app }: PendingDevice, reply: FastifyReply): FastifyReply {
  return reply.page('refused', { appName: app.name, backTo: null, onDevice: true })
}
