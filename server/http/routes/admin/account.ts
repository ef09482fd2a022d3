import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { deviceLabel } from '../../../connections/device-label.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { proveIdentity } from './identity.ts'
import { formOf, problemOf } from './form.ts'

const ENDED = 'Your session had ended meanwhile, so nothing was changed.'

/** One's own account: password, and where one is signed in. The second factor has pages of its own. */
export const accountRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { admins, sessions, secondFactors } = services
  const config = { own: true }

  const show = async (request: FastifyRequest, reply: FastifyReply, problem: string | null) => {
    const { admin, session } = request.signedIn
    const all = await sessions.list(admin.id)
    return reply.show('admin/account', {
      email: admin.email,
      role: admin.role,
      recoveryCodesLeft: await secondFactors.recoveryCodesLeft(admin.id),
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
    const field = formOf(request)
    const { admin, session } = request.signedIn
    const problem = await proveIdentity(request, reply, services)
    if (problem !== null) return show(request, reply, problem)
    if (field('next') !== field('again')) {
      void reply.code(422)
      return show(request, reply, 'The two new passwords differ.')
    }
    try {
      const changed = await admins.changePassword(admin, new Secret(field('next')), session.idHash)
      if (!changed) return await reply.done('/admin/account', ENDED, 'problem')
    } catch (error) {
      void reply.code(422)
      return show(request, reply, problemOf(error))
    }
    return reply.done('/admin/account', 'Your password is changed. Your other sessions have ended.')
  })

  app.post('/account/sessions/end', { config }, async (request, reply) => {
    const { admin } = request.signedIn
    const ended = await sessions.end(admin, formOf(request)('id'), request.ip)
    const words = ended ? 'The session has ended.' : 'That session had ended already.'
    return reply.done('/admin/account', words)
  })

  app.post('/account/sessions/end-others', { config }, async (request, reply) => {
    const count = await sessions.endOthers(request.signedIn, request.ip)
    const words =
      count === 1 ? 'One other session has ended.' : `${count} other sessions have ended.`
    return reply.done('/admin/account', words)
  })
}
