import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { renderSVG } from 'uqr'
import type { HttpServices } from '../../../services.ts'
import { byAdmin, confirmPassword, fieldReader } from './request.ts'

const SECOND_FACTOR_PATH = '/admin/account/second-factor'

/** The signed-in admin's second factor: add it, renew its recovery codes, remove it. */
export const secondFactorRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { secondFactors } = services
  const config = { own: true }
  const { requireSecondFactor } = services.config

  const show = async (
    { signedIn: { admin } }: FastifyRequest,
    reply: FastifyReply,
    problem: string | null = null,
  ) => {
    const proposal = await secondFactors.proposed(admin)
    return reply.show('admin/second-factor', {
      isRequired: requireSecondFactor,
      since: admin.secondFactorSince,
      recoveryCodesLeft: await secondFactors.recoveryCodesLeft(admin.id),
      proposal: proposal
        ? {
            secret: proposal.secret.reveal().replace(/.{4}(?=.)/g, '$& '),
            qr: renderSVG(proposal.uri.reveal(), { border: 3 }),
          }
        : null,
      problem,
    })
  }

  app.get('/account/second-factor', { config: { enrols: true } }, async (request, reply) =>
    show(request, reply),
  )

  app.post(
    '/account/second-factor/propose',
    { config: { ...config, enrols: true } },
    async (request, reply) => {
      const problem = await confirmPassword(request, reply, services)
      if (problem !== null) return show(request, reply, problem)
      const proposed = await secondFactors.propose(request.signedIn.admin)
      return proposed
        ? reply.redirect(services.config.basePath + SECOND_FACTOR_PATH, 303)
        : reply.done(SECOND_FACTOR_PATH, 'You already have a second factor.', 'problem')
    },
  )

  app.post(
    '/account/second-factor/confirm',
    { config: { ...config, enrols: true } },
    async (request, reply) => {
      const code = fieldReader(request.body)('code')
      const { admin } = request.signedIn
      const codes = await secondFactors.confirm(admin, code, request.ip)
      if (codes) return reply.show('admin/recovery-codes', { codes, isNew: true })
      void reply.code(422)
      request.refusalReason = 'second_factor_wrong'
      return show(request, reply, 'Incorrect code. Check that the clock of your device is correct.')
    },
  )

  app.post('/account/second-factor/recovery-codes', { config }, async (request, reply) => {
    const problem = await confirmPassword(request, reply, services, { code: true })
    if (problem !== null) return show(request, reply, problem)
    const codes = await secondFactors.renewRecoveryCodes(request.signedIn.admin, request.ip)
    return codes
      ? reply.show('admin/recovery-codes', { codes, isNew: false })
      : reply.done(SECOND_FACTOR_PATH, 'You have no second factor.', 'problem')
  })

  app.post('/account/second-factor/remove', { config }, async (request, reply) => {
    const problem = await confirmPassword(request, reply, services, { code: true })
    if (problem !== null) return show(request, reply, problem)
    await secondFactors.drop(request.signedIn.admin.email, byAdmin(request))
    return requireSecondFactor
      ? reply.done(SECOND_FACTOR_PATH, 'Second factor removed. Set up another one.')
      : reply.done(
          '/admin/account',
          'Second factor removed. You now sign in with your password only.',
        )
  })
}
