import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { renderSVG } from 'uqr'
import { hasSecondFactor } from '../../../admin/admins.ts'
import { isFresh } from '../../../admin/sessions.ts'
import type { HttpServices } from '../../../services.ts'
import { Secret } from '../../../secret.ts'
import { browserOf, setSession } from '../../plugins/session.ts'
import { byAdmin, confirmPassword, fieldReader, proofProblem } from './request.ts'

const SECOND_FACTOR_PATH = '/admin/account/second-factor'
const ENDED = 'Your session has ended, so nothing was changed.'
const TOO_LATE =
  'More than ten minutes have passed since you entered your password, so nothing was changed. Set up again.'

/**
 * The signed-in admin's second factor: add it, renew its recovery codes, remove it. A proposed key is shown and
 * accepted only for some minutes after the password, so nobody adds their own at a browser that was left.
 */
export const secondFactorRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { secondFactors, signIn, passkeys, clock } = services
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
    const isRecent = isFresh(session, clock.now())
    const proposal = isRecent ? await secondFactors.proposed(admin) : undefined
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
      passkeySupport: !passkeys.isSupported ? 'none' : isRecent ? 'ready' : 'confirm',
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
      const proof = { password: new Secret(fieldReader(request.body)('password')), code: null }
      const browser = browserOf(request, services)
      const outcome = await signIn.again(request.signedIn, proof, browser)
      if (outcome.kind === 'signed_in') setSession(reply, outcome, services)
      // The sign-in page follows.
      else if (outcome.kind === 'ended') return reply.done(SECOND_FACTOR_PATH, ENDED, 'problem')
      else return show(request, reply, proofProblem(request, reply, outcome, services))
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
      const { admin, session } = request.signedIn
      if (!isFresh(session, clock.now())) {
        void reply.code(422)
        return show(request, reply, TOO_LATE)
      }
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
