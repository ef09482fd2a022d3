import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { renderSVG } from 'uqr'
import { hasSecondFactor } from '../../../admin/admins.ts'
import { isFresh } from '../../../admin/sessions.ts'
import type { HttpServices } from '../../../services.ts'
import { byAdmin, confirmPassword, fieldReader } from './request.ts'

const SECOND_FACTOR_PATH = '/admin/account/second-factor'

/** The signed-in admin's second factor: add it, renew its recovery codes, remove it. */
export const secondFactorRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { secondFactors, passkeys } = services
  const config = { own: true }
  const { requireSecondFactor, basePath } = services.config

  /** The password alone adds nothing to an account that asks for a passkey. */
  const ifPasskeys = ({ signedIn: { admin } }: FastifyRequest) =>
    admin.passkeyIds.length > 0 ? basePath + SECOND_FACTOR_PATH : null

  const show = async (
    { signedIn: { admin, session } }: FastifyRequest,
    reply: FastifyReply,
    problem: string | null = null,
  ) => {
    const proposal = await secondFactors.proposed(admin)
    const own = await passkeys.list(admin.id)
    return reply.show('admin/second-factor', {
      isRequired: requireSecondFactor,
      mustSetUp: requireSecondFactor && !hasSecondFactor(admin),
      since: admin.secondFactorSince,
      recoveryCodesLeft: await secondFactors.recoveryCodesLeft(admin.id),
      proposal: proposal
        ? {
            secret: proposal.secret.reveal().replace(/.{4}(?=.)/g, '$& '),
            qr: renderSVG(proposal.uri.reveal(), { border: 3 }),
          }
        : null,
      passkeys: own.map(({ id, name, createdAt, lastUsedAt }) => ({
        ...{ id, name, createdAt, lastUsedAt },
      })),
      passkeySupport: !passkeys.isSupported
        ? 'none'
        : isFresh(session, services.clock.now())
          ? 'ready'
          : 'confirm',
      problem,
    })
  }

  app.get('/account/second-factor', { config: { enrols: true } }, async (request, reply) =>
    show(request, reply),
  )

  app.post(
    '/account/second-factor/propose',
    { config: { ...config, enrols: true, fresh: ifPasskeys } },
    async (request, reply) => {
      const problem = await confirmPassword(request, reply, services)
      if (problem !== null) return show(request, reply, problem)
      const proposed = await secondFactors.propose(request.signedIn.admin)
      return proposed
        ? reply.redirect(basePath + SECOND_FACTOR_PATH, 303)
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
    const { admin } = request.signedIn
    await secondFactors.drop(admin.email, byAdmin(request))
    if (admin.passkeyIds.length > 0)
      return reply.done(SECOND_FACTOR_PATH, 'Authenticator app removed. Your passkeys remain.')
    return requireSecondFactor
      ? reply.done(SECOND_FACTOR_PATH, 'Second factor removed. Set up another one.')
      : reply.done(
          '/admin/account',
          'Second factor removed. You now sign in with your password only.',
        )
  })
}
