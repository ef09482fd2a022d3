import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { browserOf, safeNext, setSession } from '../../plugins/session.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { fieldReader, proofProblem } from './request.ts'

/** Asks a signed-in admin again for password and second factor, before what `config: { fresh }` guards. */
export const identityRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const show = (
    request: FastifyRequest,
    reply: FastifyReply,
    { next, problem }: { next: unknown; problem: string | null },
  ) =>
    reply.show('admin/identity', {
      next: safeNext(next, services),
      hasSecondFactor: request.signedIn.admin.secondFactorSince !== null,
      problem,
    })

  app.get('/confirm-identity', async (request, reply) => {
    const { next } = request.query as { next?: unknown }
    return show(request, reply, { next, problem: null })
  })

  app.post('/confirm-identity', { config: { own: true } }, async (request, reply) => {
    const field = fieldReader(request.body)
    const next = field('next')
    const proof = { password: new Secret(field('password')), code: field('code') }
    const browser = browserOf(request, services)
    const outcome = await services.signIn.again(request.signedIn, proof, browser)
    if (outcome.kind === 'signed_in') {
      setSession(reply, outcome, services)
      return reply.redirect(safeNext(next, services), 303)
    }
    // The sign-in page follows.
    if (outcome.kind === 'ended') return reply.redirect(safeNext(next, services), 303)
    return show(request, reply, { next, problem: proofProblem(request, reply, outcome, services) })
  })
}
