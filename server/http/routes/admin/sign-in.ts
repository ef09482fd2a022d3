import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import {
  browserOf,
  clearSession,
  findSession,
  safeNext,
  setSession,
} from '../../plugins/session.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { formOf, slowDown } from './form.ts'

/** Signing in, with a second factor where there is one, and out. */
export const signInRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { config, clock, signIn, sessions, admins } = services
  const action = `${config.basePath}/admin/sign-in`
  const codeAction = `${action}/code`

  const ask = async (
    reply: FastifyReply,
    given: { next: unknown; email?: string; problem?: string },
  ) =>
    reply.page('admin/sign-in', {
      csrf: reply.generateCsrf(),
      action,
      next: safeNext(given.next, services),
      email: given.email ?? '',
      problem: given.problem ?? null,
      isEmpty: (await admins.list()).length === 0,
    })

  const askCode = (reply: FastifyReply, next: unknown, problem: string | null) =>
    reply.page('admin/code', {
      csrf: reply.generateCsrf(),
      action: codeAction,
      next: safeNext(next, services),
      back: action,
      problem,
    })

  app.get('/sign-in', async (request, reply) => {
    const { next } = request.query as { next?: unknown }
    const signedIn = await findSession(request, services)
    if (signedIn?.session.complete) return reply.redirect(safeNext(next, services), 303)
    return ask(reply, { next })
  })

  app.post('/sign-in', async (request, reply) => {
    const field = formOf(request)
    const [next, email] = [field('next'), field('email')]
    const password = new Secret(field('password'))
    const outcome = await signIn.withPassword(email, password, browserOf(request, services))
    switch (outcome.kind) {
      case 'signed_in':
        setSession(reply, outcome, services)
        return reply.redirect(safeNext(next, services), 303)
      case 'halfway': {
        setSession(reply, outcome, services)
        const query = new URLSearchParams({ next: safeNext(next, services) }).toString()
        return reply.redirect(`${codeAction}?${query}`, 303)
      }
      case 'refused': {
        void reply.code(401)
        return ask(reply, { next, email, problem: 'E-mail address or password are not right.' })
      }
      case 'slowed':
        return ask(reply, { next, email, problem: slowDown(reply, outcome.until - clock.now()) })
    }
  })

  app.get('/sign-in/code', async (request, reply) => {
    const { next } = request.query as { next?: unknown }
    const halfway = await findSession(request, services)
    if (!halfway || halfway.session.complete) return reply.redirect(action, 303)
    return askCode(reply, next, null)
  })

  app.post('/sign-in/code', async (request, reply) => {
    const field = formOf(request)
    const next = field('next')
    const halfway = await findSession(request, services)
    if (!halfway || halfway.session.complete) return reply.redirect(action, 303)
    const outcome = await signIn.withCode(halfway, field('code'), browserOf(request, services))
    switch (outcome.kind) {
      case 'signed_in':
        setSession(reply, outcome, services)
        return reply.redirect(safeNext(next, services), 303)
      case 'refused':
        void reply.code(401)
        return askCode(reply, next, 'This code is not right, or was used before.')
      case 'slowed':
        return askCode(reply, next, slowDown(reply, outcome.until - clock.now()))
    }
  })

  app.post('/sign-out', async (request, reply) => {
    const signedIn = await findSession(request, services)
    if (signedIn) {
      await sessions.end(signedIn.admin, signedIn.session.idHash, request.ip)
      clearSession(reply, services)
    }
    return reply.redirect(action, 303)
  })
}
