import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { SignInOutcome } from '../../domain/sign-in.ts'
import {
  browserOf,
  clearSession,
  findSession,
  safeNext,
  setSession,
} from '../../plugins/session.ts'
import { Secret } from '../../secret.ts'
import type { Services } from '../../services.ts'

/** Signing in and out. */
export const signInRoutes: FastifyPluginAsync<{ services: Services }> = async (
  app,
  { services },
) => {
  const { config, signIn, sessions, admins } = services
  const action = `${config.basePath}/admin/sign-in`

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

  app.get('/sign-in', async (request, reply) => {
    const { next } = request.query as { next?: unknown }
    const signedIn = await findSession(request, services)
    if (signedIn?.session.complete) return reply.redirect(safeNext(next, services), 303)
    return ask(reply, { next })
  })

  app.post('/sign-in', async (request, reply) => {
    const { next, email, password } = fields(request)
    const browser = browserOf(request, services)
    const outcome = await signIn.withPassword(email, new Secret(password), browser)
    if (outcome.kind === 'signed_in') {
      setSession(reply, outcome, services)
      return reply.redirect(safeNext(next, services), 303)
    }
    void reply.code(outcome.kind === 'slowed' ? 429 : 401)
    return ask(reply, { next, email, problem: problemOf(outcome, services, reply) })
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

/** The form's fields as text; what is missing is empty. */
function fields({ body }: FastifyRequest) {
  const given = (body ?? {}) as Record<string, unknown>
  const text = (name: string) => (typeof given[name] === 'string' ? given[name] : '')
  return { next: given.next, email: text('email'), password: text('password') }
}

function problemOf(outcome: SignInOutcome, { clock }: Services, reply: FastifyReply): string {
  if (outcome.kind !== 'slowed') return 'E-mail address or password are not right.'
  const seconds = Math.ceil((outcome.until - clock.now()) / 1000)
  void reply.header('retry-after', seconds)
  return `Too many attempts failed. Try again in ${Math.ceil(seconds / 60)} minutes.`
}
