import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationRequest } from '../../oauth/authorize.ts'
import { deviceLabel } from '../../connections/device-label.ts'
import { setFlowCookie } from '../plugins/flow-cookies.ts'
import { contentSecurityPolicy, cspSource } from '../plugins/headers.ts'
import type { HttpServices } from '../../services.ts'

/** Off to Ellipsis Drive. */
export async function begin(
  asked: AuthorizationRequest,
  request: FastifyRequest,
  reply: FastifyReply,
  { config, connect }: HttpServices,
) {
  const flow = await connect.begin(asked, deviceLabel(request.headers['user-agent']))
  setFlowCookie(request, reply, flow, config.publicUrl.startsWith('https:'))
  return reply.redirect(flow.location, 303)
}

/** Lets this page's form lead to Ellipsis Drive, and on to where the app takes its answer. */
export function allowForm(reply: FastifyReply, { config }: HttpServices, redirectUri = ''): void {
  const { apiUrl, webUrl } = config.ellipsis
  const targets = [apiUrl, webUrl ?? '', redirectUri].filter((target) => target !== '')
  const sources = targets.map(cspSource)
  const secure = config.publicUrl.startsWith('https:')
  void reply.header('content-security-policy', contentSecurityPolicy(secure, sources))
}
