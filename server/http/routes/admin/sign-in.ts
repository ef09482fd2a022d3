import type { FastifyPluginAsync } from 'fastify'
import {
  browserOf,
  clearSession,
  findSession,
  safeNext,
  setSession,
} from '../../plugins/session.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { WRONG_CODE, fieldReader, tooManyAttempts } from './request.ts'
import { signInForms } from './sign-in-forms.ts'

/** Sign in, with the second factor if the account has one, and sign out. */
export const signInRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { clock, signIn, sessions } = services
  const { action, codeAction, showForm, showCodeForm, renewForm, renewCodeForm } =
    signInForms(services)

  app.get('/sign-in', async (request, reply) => {
    const { next } = request.query as { next?: unknown }
    const signedIn = await findSession(request, services)
    if (signedIn?.session.complete) return reply.redirect(safeNext(next, services), 303)
    return showForm(reply, { next })
  })

  app.post('/sign-in', { config: { renewForm } }, async (request, reply) => {
    const field = fieldReader(request.body)
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
        request.refusalReason = 'password_wrong'
        return showForm(reply, { next, email, problem: 'Incorrect e-mail address or password.' })
      }
      case 'slowed':
        return showForm(reply, {
          next,
          email,
          problem: tooManyAttempts(reply, outcome.until - clock.now()),
        })
    }
  })

  app.get('/sign-in/code', async (request, reply) => {
    const { next } = request.query as { next?: unknown }
    const halfway = await findSession(request, services)
    if (!halfway || halfway.session.complete) return reply.redirect(action, 303)
    return showCodeForm(reply, halfway, { next, problem: null })
  })

  app.post('/sign-in/code', { config: { renewForm: renewCodeForm } }, async (request, reply) => {
    const field = fieldReader(request.body)
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
        request.refusalReason = 'second_factor_wrong'
        return showCodeForm(reply, halfway, { next, problem: WRONG_CODE })
      case 'slowed':
        return showCodeForm(reply, halfway, {
          next,
          problem: tooManyAttempts(reply, outcome.until - clock.now()),
        })
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
