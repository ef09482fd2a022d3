import type { FastifyPluginAsync } from 'fastify'
import { deviceLabel } from '../../domain/device.ts'
import type { Services } from '../../services.ts'

/** One's own account: password, sessions, second factor. */
export const accountRoutes: FastifyPluginAsync<{ services: Services }> = async (
  app,
  { services: { sessions } },
) => {
  app.get('/account', async (request, reply) => {
    const { admin, session } = request.signedIn
    const all = await sessions.list(admin.id)
    return reply.show('admin/account', {
      email: admin.email,
      role: admin.role,
      sessions: all.map((each) => ({
        id: each.idHash,
        device: deviceLabel(each.userAgent ?? undefined),
        address: each.address ?? 'unknown',
        createdAt: each.createdAt,
        lastSeenAt: each.lastSeenAt,
        isCurrent: each.idHash === session.idHash,
      })),
      problem: null,
    })
  })
}
