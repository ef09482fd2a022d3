import type { FastifyPluginAsync } from 'fastify'
import { omitEmpty } from '../../oauth/parameters.ts'
import type { Parameters } from '../../oauth/parameters.ts'
import { newSecret } from '../../crypto/hash.ts'
import { Secret } from '../../secret.ts'
import { mayBeProxy } from '../plugins/peer.ts'
import type { HttpServices } from '../../services.ts'
import { page, redirect, tooManyFailures } from './schemas.ts'
import { readBrowserCookie, setBrowserCookie } from './browser-cookie.ts'
import { setSessionCookie } from './session-cookie.ts'
import { readFlowCookies } from './upstream-flow.ts'

const schema = {
  operationId: 'callback',
  tags: ['connect'],
  summary: 'Callback for Ellipsis Drive',
  description: 'Register this URL as the callback at Ellipsis Drive. Apps do not call it.',
  security: [],
  response: {
    200: page('The user is connected, after a plain link or a device flow.'),
    303: redirect('Back to the app, with a code, a session or an error.'),
    400: page('This browser has no flow in progress, or Ellipsis Drive rejected the code.'),
    429: tooManyFailures,
    503: page('Ellipsis Drive is unavailable, or too many users connect; Retry-After says when.'),
  },
}

/** Where Ellipsis Drive redirects the user after authorization. */
export const callbackRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { config, connect, appSessions, random } },
) => {
  app.addHook('onRequest', app.failureLimits.check)
  app.get(
    '/callback',
    { schema, config: { page: true, anyName: true } },
    async (request, reply) => {
      const { state, code, error } = omitEmpty(request.query as Parameters)
      const knownState = typeof state === 'string' ? state : null
      const isRefusal = typeof error === 'string' && code === undefined
      const browser = readBrowserCookie(request, config) ?? new Secret(newSecret(random))
      const finished = await connect.finish({
        state: knownState,
        // A state that came twice, or none in an answer that is no refusal, belongs to no flow.
        cookies:
          knownState !== null || (isRefusal && !Array.isArray(state))
            ? readFlowCookies(request, knownState, config)
            : [],
        code: typeof code === 'string' ? new Secret(code) : undefined,
        error: typeof error === 'string' ? error : undefined,
        address: request.ip,
        isAddressShared: mayBeProxy(request, config.publicUrl),
        browser,
      })
      if (finished.kind === 'redirect') {
        setBrowserCookie(reply, browser, config)
        const { sessionId } = finished
        const session = sessionId === null ? null : await appSessions.token(sessionId)
        if (session) setSessionCookie(reply, session, config)
        return reply.redirect(finished.location, 303)
      }
      if (finished.kind === 'connected') {
        const { kind, ...page } = finished
        return reply.page('connected', { ...page, operator: config.operator })
      }
      const { kind, ...page } = finished
      return reply.page('refused', page)
    },
  )
}
