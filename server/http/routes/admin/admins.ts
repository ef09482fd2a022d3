import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Admin } from '../../../../db/store.ts'
import { hasPassword } from '../../../admin/admins.ts'
import type { AdminChange } from '../../../admin/admins.ts'
import { isFresh } from '../../../admin/sessions.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { hereAfterwards } from '../../plugins/session.ts'
import { byAdmin, fieldReader, validationMessage } from './request.ts'

const ADMINS_PATH = '/admin/admins'
const LAST_ADMIN = 'This is the last account with the role admin. Add another one first.'

/** The second factors of an admin, for people; `null`: no second factor. */
function describeFactors({
  secondFactorSince,
  passkeyIds: { length },
}: Pick<Admin, 'secondFactorSince' | 'passkeyIds'>): string | null {
  const kinds = [
    ...(secondFactorSince === null ? [] : ['authenticator app']),
    ...(length === 0 ? [] : [length === 1 ? '1 passkey' : `${length} passkeys`]),
  ]
  return kinds.length === 0 ? null : kinds.join(', ')
}

/** The accounts of the dashboard: list, add, change the role, remove. */
export const adminsRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { admins, clock, config: settings } },
) => {
  const config = { fresh: hereAfterwards }
  const listAfterwards = { fresh: () => settings.basePath + ADMINS_PATH }

  const show = async (
    request: FastifyRequest,
    reply: FastifyReply,
    form: { email: string; role: string; problem: string | null },
  ) => {
    const all = await admins.list()
    return reply.show('admin/admins', {
      admins: all.map(({ id, email, role, createdAt, oidcIssuer, oidcLabel, ...factors }) => ({
        id,
        email,
        role,
        createdAt,
        secondFactor: describeFactors(factors),
        hasPassword: hasPassword(factors),
        provider:
          oidcIssuer === null ? null : { host: new URL(oidcIssuer).host, label: oidcLabel ?? '' },
        isSelf: id === request.signedIn.admin.id,
      })),
      isClosed: !settings.adminPasswords,
      form: isFresh(request.signedIn.session, clock.now()) ? form : null,
    })
  }

  const find = async ({ params }: FastifyRequest): Promise<Admin | undefined> => {
    const { id } = params as { id: string }
    return (await admins.list()).find((admin) => admin.id === id)
  }

  const missing = (reply: FastifyReply) =>
    reply.missing('This admin does not exist or was removed.')

  const report = (reply: FastifyReply, change: AdminChange, message: string) => {
    /* c8 ignore next -- removed by someone else after `find` */
    if (change === 'none') return missing(reply)
    return change === 'last'
      ? reply.done(ADMINS_PATH, LAST_ADMIN, 'problem')
      : reply.done(ADMINS_PATH, message)
  }

  app.get('/admins', async (request, reply) =>
    show(request, reply, { email: '', role: 'viewer', problem: null }),
  )

  app.post('/admins', { config }, async (request, reply) => {
    const field = fieldReader(request.body)
    const role = field('role') === 'admin' ? 'admin' : 'viewer'
    try {
      const password = new Secret(field('password'))
      const { email } = await admins.add(field('email'), password, byAdmin(request), role)
      return reply.done(
        ADMINS_PATH,
        `Added ${email} as ${role}. Send them the password over a secure channel.`,
      )
    } catch (error) {
      void reply.code(422)
      return show(request, reply, {
        email: field('email'),
        role,
        problem: validationMessage(error),
      })
    }
  })

  app.post('/admins/:id/role', { config: listAfterwards }, async (request, reply) => {
    const admin = await find(request)
    if (!admin) return missing(reply)
    const role = fieldReader(request.body)('role') === 'admin' ? 'admin' : 'viewer'
    const change = await admins.setRole(admin.email, role, byAdmin(request))
    return report(reply, change, `${admin.email} now has the role ${role}.`)
  })

  app.get('/admins/:id/remove', { config }, async (request, reply) => {
    const admin = await find(request)
    if (!admin) return missing(reply)
    return reply.show('admin/confirm', {
      title: `Remove ${admin.email}?`,
      paragraphs: [
        'All their sessions end immediately, and they can no longer sign in.',
        'Their actions stay in the audit log. Apps and connected users are not affected.',
        ...(admin.id === request.signedIn.admin.id
          ? ['This is your own account: you will be signed out.']
          : []),
      ],
      button: 'Remove admin',
      back: ADMINS_PATH,
    })
  })

  app.post('/admins/:id/remove', { config }, async (request, reply) => {
    const admin = await find(request)
    if (!admin) return missing(reply)
    const change = await admins.remove(admin.email, byAdmin(request), { keepOne: true })
    return report(reply, change, `Removed ${admin.email}. Their sessions have ended.`)
  })
}
