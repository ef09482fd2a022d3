import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { PendingDevice } from '../../oauth/device-flow.ts'
import { readUserCode, formatUserCode } from '../../oauth/user-code.ts'
import { protectForms } from '../plugins/csrf.ts'
import { checkSameOrigin } from '../plugins/same-origin.ts'
import type { HttpServices } from '../../services.ts'
import { allowForm, begin } from './begin.ts'
import { page } from './schemas.ts'

const schema = {
  operationId: 'device',
  tags: ['connect'],
  summary: 'Where the user types the code of a device',
  description:
    'The verification URI of RFC 8628 3.3. A code in the address is only filled in: the user still compares it, and is asked.',
  security: [],
  querystring: {
    type: 'object',
    properties: { user_code: { type: 'string', description: 'The code, to be filled in.' } },
  },
  response: {
    200: page('Asks for the code.'),
    429: page('This address has tried too many codes; Retry-After says how long to wait.'),
  },
}

/** The page where a person types the code of a device, and is asked about it. */
export const deviceRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const config = { page: true }
  app.addHook('onRequest', app.failures.check)
  await protectForms(app, services.config)

  const unchecked = () => () => true
  app.get('/device', { schema, validatorCompiler: unchecked, config }, async (request, reply) => {
    const { user_code: given } = request.query as Record<string, unknown>
    return askCode(typeof given === 'string' ? given : '', null, reply, services)
  })

  const answered = { config, preHandler: app.csrfProtection.bind(app) }
  app.post('/device', answered, async (request, reply) => {
    checkSameOrigin(request, services.config.publicUrl)
    const { user_code: given, decision } = request.body as Record<string, unknown>
    const typed = typeof given === 'string' ? given : ''
    const waiting = await services.deviceFlow.find(typed)
    if (!waiting) return notFound(typed, request, reply, services)
    if (decision === 'allow') return allow(waiting, request, reply, services)
    if (decision === 'deny') return deny(waiting, request, reply, services)
    return ask(waiting, typed, reply, services)
  })

  /** A wrong code may be a guess. */
  const notFound: Step<string> = async (typed, request, reply, services) => {
    const limited = await app.failures.count(request)
    if (limited) throw limited
    void reply.code(400)
    const problem = 'No device waits with this code. Compare it, or begin anew on the device.'
    return askCode(typed, problem, reply, services)
  }
}

type Step<What> = (
  what: What,
  request: FastifyRequest,
  reply: FastifyReply,
  services: HttpServices,
) => Promise<FastifyReply>

function askCode(
  typed: string,
  problem: string | null,
  reply: FastifyReply,
  { config }: HttpServices,
): FastifyReply {
  return reply.page('device', {
    userCode: formatUserCode(readUserCode(typed)),
    problem,
    action: `${config.basePath}/device`,
    fields: [{ name: '_csrf', value: reply.generateCsrf() }],
    operator: config.operator,
  })
}

function ask(
  { app, code }: PendingDevice,
  typed: string,
  reply: FastifyReply,
  services: HttpServices,
) {
  const { config, clock } = services
  allowForm(reply, services)
  const userCode = formatUserCode(readUserCode(typed))
  return reply.page('device-ask', {
    appName: app.name,
    userCode,
    device: code.device,
    address: code.address,
    minutesAgo: Math.floor((clock.now() - code.createdAt) / 60_000),
    action: `${config.basePath}/device`,
    fields: [
      { name: 'user_code', value: userCode },
      { name: '_csrf', value: reply.generateCsrf() },
    ],
    operator: config.operator,
  })
}

/** Through Ellipsis Drive, like any connect; the app has no say in where it ends. */
const allow: Step<PendingDevice> = async ({ app, code }, request, reply, services) => {
  const nothing = { redirectUri: '', state: null, challenge: null, jkt: null, reconnect: null }
  const { scope, deviceCodeHash } = code
  return begin({ app, scope, deviceCodeHash, ...nothing }, request, reply, services)
}

const deny: Step<PendingDevice> = async ({ app, code }, _request, reply, { deviceFlow }) => {
  await deviceFlow.deny(code)
  return reply.page('refused', { appName: app.name, backTo: null, onDevice: true })
}
