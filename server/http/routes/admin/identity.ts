import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { readPasskeyForm, sendPasskeyOptions } from '../../plugins/passkeys.ts'
import { browserOf, isLocalAccount, safeNext, setSession } from '../../plugins/session.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { PASSKEY_REFUSED, fieldReader, proofProblem, tooManyAttempts } from './request.ts'

/** Asks a signed-in admin again for password and second factor, or a passkey, before what `config: { fresh }` guards. */
export const identityRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { passkeys, passkeySignIn, oidcSignIn, clock } = services
  const passkeyAction = `${services.config.basePath}/admin/confirm-identity/passkey`
  // Adding a passkey needs a recent sign-in, also for an admin who may only do that.
  const config = { own: true, enrols: true }

  const show = (
    { signedIn: { admin } }: FastifyRequest,
    reply: FastifyReply,
    { next, problem }: { next: unknown; problem: string | null },
  ) => {
    const isLocal = isLocalAccount(admin, services.config)
    const hasPasskeys = admin.passkeyIds.length > 0
    const target = safeNext(next, services)
    const query = new URLSearchParams({ next: target }).toString()
    const href = `${services.config.basePath}/admin/confirm-identity/oidc?${query}`
    return reply.show('admin/identity', {
      next: target,
      hasCodes: admin.secondFactorSince !== null,
      hasPassword: isLocal && (admin.secondFactorSince !== null || !hasPasskeys),
      passkeyAction: isLocal && passkeys.isSupported && hasPasskeys ? passkeyAction : null,
      provider: oidcSignIn?.isLinked(admin) ? { name: oidcSignIn.name, href } : null,
      problem,
    })
  }

  app.get('/confirm-identity', { config }, async (request, reply) => {
    const { next } = request.query as { next?: unknown }
    return show(request, reply, { next, problem: null })
  })

  app.post('/confirm-identity', { config }, async (request, reply) => {
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

  app.post('/confirm-identity/passkey/options', { config }, async (request, reply) =>
    sendPasskeyOptions(reply, await passkeySignIn.offerAgain(request.signedIn), services),
  )

  app.post('/confirm-identity/passkey', { config }, async (request, reply) => {
    const next = fieldReader(request.body)('next')
    const response = readPasskeyForm(request, reply, services)
    const browser = browserOf(request, services)
    const outcome = await passkeySignIn.again(request.signedIn, response, browser)
    switch (outcome.kind) {
      case 'signed_in':
        setSession(reply, outcome, services)
        return reply.redirect(safeNext(next, services), 303)
      case 'refused':
        void reply.code(422)
        return show(request, reply, { next, problem: PASSKEY_REFUSED })
      case 'slowed':
        return show(request, reply, {
          next,
          problem: tooManyAttempts(reply, outcome.until - clock.now()),
        })
    }
  })
}
