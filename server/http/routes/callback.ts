import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { ConnectResult } from '../../connections/flow-end.ts'
import { omitEmpty } from '../../oauth/parameters.ts'
import type { Parameters } from '../../oauth/parameters.ts'
import { newSecret } from '../../crypto/hash.ts'
import { Secret } from '../../secret.ts'
import { protectForms } from '../plugins/csrf.ts'
import { allowFormRedirects } from '../plugins/headers.ts'
import { mayBeProxy } from '../plugins/peer.ts'
import type { HttpServices } from '../../services.ts'
import { page, redirect, tooManyFailures } from './schemas.ts'
import { redirectToMe } from './me.ts'
import { readBrowserCookie, setBrowserCookie } from './browser-cookie.ts'
import { setSessionCookie } from './session-cookie.ts'
import { readFlowCookies, setFlowCookie } from './upstream-flow.ts'

const schema = {
  operationId: 'callback',
  tags: ['connect'],
  summary: 'Callback for Ellipsis Drive',
  description: 'Register this URL as the callback at Ellipsis Drive. Apps do not call it.',
  security: [],
  response: {
    200: page(
      'The user is connected, after a plain link or a device flow; or decides about an account that the app did not ask for.',
    ),
    303: redirect('Back to the app, with a code, a session or an error; or to /me.'),
    400: page('This browser has no flow in progress, or Ellipsis Drive rejected the code.'),
    429: tooManyFailures,
    503: page('Ellipsis Drive is unavailable, or too many users connect; Retry-After says when.'),
  },
}

/** The form about another account carries two sealed tokens of up to 16 KiB each. */
const MAX_DECISION_BYTES = 65_536

/** Where Ellipsis Drive redirects the user after authorization. */
export const callbackRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { config, connect, personSignIn, appSessions, random } = services
  app.addHook('onRequest', app.failureLimits.check)
  protectForms(app, config)
  app.get(
    '/callback',
    { schema, config: { page: true, anyName: true } },
    async (request, reply) => {
      const { state, code, error } = omitEmpty(request.query as Parameters)
      const knownState = typeof state === 'string' ? state : null
      const isRefusal = typeof error === 'string' && code === undefined
      const browser = readBrowserCookie(request, config) ?? new Secret(newSecret(random))
      const callback = {
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
      }
      const signIn = await personSignIn.finish(callback)
      if (signIn) return sendSignIn(signIn, reply)
      return sendResult(await connect.finish(callback), browser, request, reply)
    },
  )

  const decide = {
    config: { page: true },
    bodyLimit: MAX_DECISION_BYTES,
    preHandler: app.csrfProtection,
  }
  app.post('/callback/account', decide, async (request, reply) => {
    const form = (request.body ?? {}) as Record<string, unknown>
    const text = (name: string) => (typeof form[name] === 'string' ? form[name] : '')
    const browser = readBrowserCookie(request, config) ?? new Secret(newSecret(random))
    const finished = await connect.decide({
      state: text('state'),
      cookies: readFlowCookies(request, text('state'), config),
      waiting: new Secret(text('waiting')),
      choice: text('decision') === 'continue' ? 'continue' : 'restart',
      address: request.ip,
      browser,
    })
    return sendResult(finished, browser, request, reply)
  })

  const sendSignIn = (
    result: NonNullable<Awaited<ReturnType<typeof personSignIn.finish>>>,
    reply: FastifyReply,
  ) =>
    redirectToMe(
      result.kind === 'signed-in' ? { session: result.session } : { notice: result.kind },
      reply,
      services,
    )

  const sendResult = async (
    finished: ConnectResult,
    browser: Secret,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => {
    switch (finished.kind) {
      case 'redirect': {
        const { location, sessionId } = finished
        setBrowserCookie(reply, browser, config)
        const session = sessionId === null ? null : await appSessions.token(sessionId)
        if (session) setSessionCookie(reply, session, config)
        return reply.redirect(location, 303)
      }
      case 'restart':
        setFlowCookie(finished.cookie, request, reply, config)
        return reply.redirect(finished.location, 303)
      case 'other-account':
        return askAccount(finished, request, reply)
      case 'connected': {
        const { kind, ...page } = finished
        return reply.page('connected', { ...page, operator: config.operator })
      }
      case 'refused': {
        const { kind, ...page } = finished
        return reply.page('refused', page)
      }
    }
  }

  const askAccount = (
    question: Extract<ConnectResult, { kind: 'other-account' }>,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => {
    const { appName, expected, actual, state, cookie, waiting } = question
    setFlowCookie(cookie, request, reply, config)
    allowFormRedirects(reply, config)
    return reply.page('other-account', {
      ...{ appName, expected, actual },
      ellipsisUrl: config.ellipsis.webUrl,
      action: `${config.basePath}/callback/account`,
      fields: [
        { name: 'state', value: state.reveal() },
        { name: 'waiting', value: waiting.reveal() },
        { name: '_csrf', value: reply.generateCsrf() },
      ],
    })
  }
}
