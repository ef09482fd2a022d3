import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { StandIn } from '../stand-in.ts'
import type { User } from '../users.ts'
import { watching } from '../watch.ts'
import type { AuthorizationRequest, ReturnTo } from './authorization-request.ts'
import { AuthorizationError, readAuthorizationRequest } from './authorization-request.ts'
import { OAuthError } from './errors.ts'
import { eachOnce } from './parameters.ts'
import { sendConsentPage, sendErrorPage, sendLoginPage } from '../pages.ts'

/** The authorization endpoint (RFC 6749 3.1): login, consent, and back to the client. */
export const authorizeRoute: FastifyPluginAsync<{ standIn: StandIn }> = async (app, options) => {
  const { standIn } = options
  const { sessions, switches } = standIn

  app.setErrorHandler((error, _request, reply) => {
    if (error instanceof AuthorizationError) {
      const { code, message, returnTo } = error
      return sendBack(reply, returnTo, { error: code, error_description: message })
    }
    if (error instanceof OAuthError) return sendErrorPage(reply, error.message)
    throw error
  })

  app.get('/oauth/authorize', watching(standIn)('authorize'), async (request, reply) => {
    const asked = readAuthorizationRequest(request.query, standIn.clients)
    const user = sessions.user(request)
    if (!user) return sendLoginPage(reply, request.url, standIn.users.list())
    const isAllowed = user.allowed.has(asked.client.id) && !switches.askAgain
    if (isAllowed) return allow(asked, user, reply)
    return sendConsentPage(reply, request.url, { user, ...asked })
  })

  // The pages' forms are sent to the address that they were shown at.
  app.post('/oauth/authorize', async (request, reply) => {
    const asked = readAuthorizationRequest(request.query, standIn.clients)
    const { user: username, decision = '' } = eachOnce(request.body)
    if (username !== undefined) return logIn(username, request, reply)
    const user = sessions.user(request)
    if (!user) return reply.redirect(request.url, 303)
    return decide(decision, { asked, user }, request, reply)
  })

  function logIn(username: string, request: FastifyRequest, reply: FastifyReply) {
    const user = standIn.users.get(username)
    if (!user) throw new OAuthError('invalid_request', 'There is no such user.')
    sessions.logIn(user, reply)
    return reply.redirect(request.url, 303)
  }

  function decide(
    decision: string,
    { asked, user }: { asked: AuthorizationRequest; user: User },
    request: FastifyRequest,
    reply: FastifyReply,
  ) {
    switch (decision) {
      case 'allow':
        user.allowed.add(asked.client.id)
        return allow(asked, user, reply)
      case 'refuse': {
        const description = 'The user has refused access.'
        throw new AuthorizationError('access_denied', description, asked.returnTo)
      }
      case 'log-out':
        sessions.logOut(request, reply)
        return reply.redirect(request.url, 303)
      default:
        throw new OAuthError('invalid_request', 'This form is not one of ours.')
    }
  }

  function allow(asked: AuthorizationRequest, user: User, reply: FastifyReply) {
    const { client, sentRedirectUri: redirectUri, returnTo, challenge } = asked
    const code = standIn.codes.issue({ user, clientId: client.id, redirectUri, challenge })
    return sendBack(reply, returnTo, { code })
  }
}

/** Back to the client, with `state` (RFC 6749 4.1.2). */
function sendBack(reply: FastifyReply, { redirectUri, state }: ReturnTo, answer: object) {
  const url = new URL(redirectUri)
  for (const [name, value] of Object.entries({ ...answer, state })) {
    if (value !== undefined) url.searchParams.append(name, String(value))
  }
  return reply.header('cache-control', 'no-store').redirect(url.href, 303)
}
