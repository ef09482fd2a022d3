import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { StandIn } from '../stand-in.ts'
import type { User } from '../users.ts'
import { createEndpointHooks } from '../endpoint-hooks.ts'
import type { AuthorizationRequest, ReturnTo } from './authorization-request.ts'
import { AuthorizationError, readAuthorizationRequest } from './authorization-request.ts'
import { OAuthError } from './errors.ts'
import { sendConsentPage, sendErrorPage, sendLoginPage } from './pages.ts'
import { readParameters } from './parameters.ts'

/** The authorization endpoint (RFC 6749 3.1): login, consent, redirect to the client. */
export const authorizeRoute: FastifyPluginAsync<{ standIn: StandIn }> = async (app, options) => {
  const { standIn } = options
  const { sessions, switches } = standIn

  app.setErrorHandler((error, _request, reply) => {
    if (error instanceof AuthorizationError) {
      const { code, message, returnTo } = error
      return redirectToClient(reply, returnTo, { error: code, error_description: message })
    }
    if (error instanceof OAuthError) return sendErrorPage(reply, error.message)
    throw error
  })

  app.get('/oauth/authorize', createEndpointHooks(standIn)('authorize'), async (request, reply) => {
    const authorization = readAuthorizationRequest(request.query, standIn.clients)
    const user = sessions.findUser(request)
    if (!user) return sendLoginPage(reply, request.url, standIn.users.list())
    const isAllowed = user.allowedClients.has(authorization.client.id) && !switches.askAgain
    if (isAllowed) return allow(authorization, user, reply)
    return sendConsentPage(reply, request.url, { user, ...authorization })
  })

  // The pages' forms are posted to the page's own URL.
  app.post('/oauth/authorize', async (request, reply) => {
    const authorization = readAuthorizationRequest(request.query, standIn.clients)
    const { user: username, decision = '' } = readParameters(request.body)
    if (username !== undefined) return logIn(username, request, reply)
    const user = sessions.findUser(request)
    if (!user) return reply.redirect(request.url, 303)
    return decide(decision, { authorization, user }, request, reply)
  })

  function logIn(username: string, request: FastifyRequest, reply: FastifyReply) {
    const user = standIn.users.findByUsername(username)
    if (!user) throw new OAuthError('invalid_request', 'This user does not exist.')
    sessions.logIn(user, reply)
    return reply.redirect(request.url, 303)
  }

  function decide(
    decision: string,
    { authorization, user }: { authorization: AuthorizationRequest; user: User },
    request: FastifyRequest,
    reply: FastifyReply,
  ) {
    switch (decision) {
      case 'allow':
        user.allowedClients.add(authorization.client.id)
        return allow(authorization, user, reply)
      case 'refuse': {
        const description = 'The user refused access.'
        throw new AuthorizationError('access_denied', description, authorization.returnTo)
      }
      case 'log-out':
        sessions.logOut(request, reply)
        return reply.redirect(request.url, 303)
      default:
        throw new OAuthError('invalid_request', 'The form is invalid.')
    }
  }

  function allow(authorization: AuthorizationRequest, user: User, reply: FastifyReply) {
    const { client, sentRedirectUri: redirectUri, returnTo, challenge } = authorization
    const code = standIn.codes.issue({ user, clientId: client.id, redirectUri, challenge })
    return redirectToClient(reply, returnTo, { code })
  }
}

/** Sends the authorization response, with `state` (RFC 6749 4.1.2). */
function redirectToClient(reply: FastifyReply, { redirectUri, state }: ReturnTo, response: object) {
  const url = new URL(redirectUri)
  for (const [name, value] of Object.entries({ ...response, state })) {
    if (value !== undefined) url.searchParams.append(name, String(value))
  }
  return reply.header('cache-control', 'no-store').redirect(url.href, 303)
}
