import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { deviceLabel } from '../../../connections/device-label.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { browserOf, isLocalAccount, setSession } from '../../plugins/session.ts'
import { byAdmin, confirmPassword, fieldReader, validationMessage } from './request.ts'

/** The signed-in admin's own account: password and sessions. second-factor.ts has the second factor. */
export const accountRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { admins, sessions, secondFactors, oidcSignIn } = services
  const config = { own: true }
  const ends = { ...config, fresh: () => `${services.config.basePath}/admin/account` }

  const show = async (request: FastifyRequest, reply: FastifyReply, problem: string | null) => {
    const { admin, session } = request.signedIn
    const all = await sessions.list(admin.id)
    const isLocal = isLocalAccount(admin, services.config)
    return reply.show('admin/account', {
      email: admin.email,
      role: admin.role,
      recoveryCodesLeft: await secondFactors.recoveryCodesLeft(admin.id),
      passkeyCount: admin.passkeyIds.length,
      isLocal,
      provider: oidcSignIn && {
        name: oidcSignIn.name,
        label: oidcSignIn.isLinked(admin) ? admin.oidcLabel : null,
        canUnlink: isLocal,
      },
      sessions: all.map((each) => ({
        id: each.idHash,
        device: deviceLabel(each.userAgent ?? undefined),
        address: each.address ?? 'unknown',
        createdAt: each.createdAt,
        lastSeenAt: each.lastSeenAt,
        isCurrent: each.idHash === session.idHash,
      })),
      problem,
    })
  }

  app.get('/account', async (request, reply) => show(request, reply, null))

  app.post('/account/password', { config }, async (request, reply) => {
    const field = fieldReader(request.body)
    const { admin, session } = request.signedIn
    const problem = await confirmPassword(request, reply, services)
    if (problem !== null) return show(request, reply, problem)
    if (field('next') !== field('again')) {
      void reply.code(422)
      return show(request, reply, 'The new passwords do not match.')
    }
    try {
      const options = { session: session.idHash, actor: byAdmin(request) }
      const changed = await admins.changePassword(admin, new Secret(field('next')), options)
      // The browsers that were known are forgotten: this one gets new cookies.
      const browser = { ...browserOf(request, services), device: undefined }
      const renewal = { replaces: session.idHash, action: null }
      const begun = changed && (await sessions.begin(changed, browser, renewal))
      if (begun) setSession(reply, begun, services)
      else {
        const message = 'Your session has ended, so nothing was changed.'
        return await reply.done('/admin/account', message, 'problem')
      }
    } catch (error) {
      void reply.code(422)
      return show(request, reply, validationMessage(error))
    }
    const passkeys = admin.passkeyIds.length > 0 ? ' Your passkeys still sign you in.' : ''
    return reply.done(
      '/admin/account',
      `Password changed. Your other sessions have ended.${passkeys}`,
    )
  })

  app.post('/account/sessions/end', { config: ends }, async (request, reply) => {
    const { admin } = request.signedIn
    const ended = await sessions.end(admin, fieldReader(request.body)('id'), request.ip)
    const message = ended ? 'Session ended.' : 'That session had already ended.'
    return reply.done('/admin/account', message)
  })

  app.post('/account/sessions/end-others', { config: ends }, async (request, reply) => {
    const count = await sessions.endOthers(request.signedIn, request.ip)
    return reply.done(
      '/admin/account',
      `Ended ${count} other ${count === 1 ? 'session' : 'sessions'}.`,
    )
  })
}
