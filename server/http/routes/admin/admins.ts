import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Admin } from '../../../../db/store.ts'
import type { AdminChange } from '../../../admin/admins.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { actorOf } from './actor.ts'
import { formOf, problemOf } from './form.ts'

const HOME = '/admin/admins'
const LAST =
  'Nobody could change anything any more: this is the last one with the role admin. Add another first.'

/** The people who run the broker: who there is, add, change the role, remove. */
export const adminsRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { admins } },
) => {
  const show = async (
    request: FastifyRequest,
    reply: FastifyReply,
    given: { email: string; role: string; problem: string | null },
  ) => {
    const all = await admins.list()
    return reply.show('admin/admins', {
      admins: all.map(({ id, email, role, createdAt, secondFactorSince }) => ({
        id,
        email,
        role,
        createdAt,
        hasSecondFactor: secondFactorSince !== null,
        isSelf: id === request.signedIn.admin.id,
      })),
      form: given,
    })
  }

  const find = async ({ params }: FastifyRequest): Promise<Admin | undefined> => {
    const { id } = params as { id: string }
    return (await admins.list()).find((admin) => admin.id === id)
  }

  const missing = (reply: FastifyReply) => reply.missing('There is no such admin (any more).')

  const told = (reply: FastifyReply, change: AdminChange, words: string) => {
    /* c8 ignore next -- somebody else removed them between the look and the deed */
    if (change === 'none') return missing(reply)
    return change === 'last' ? reply.done(HOME, LAST, 'problem') : reply.done(HOME, words)
  }

  app.get('/admins', async (request, reply) =>
    show(request, reply, { email: '', role: 'viewer', problem: null }),
  )

  app.post('/admins', async (request, reply) => {
    const field = formOf(request)
    const role = field('role') === 'admin' ? 'admin' : 'viewer'
    try {
      const password = new Secret(field('password'))
      const { email } = await admins.add(field('email'), password, actorOf(request), role)
      return reply.done(HOME, `Added ${email} as ${role}. Give them the password on a safe way.`)
    } catch (error) {
      void reply.code(422)
      return show(request, reply, { email: field('email'), role, problem: problemOf(error) })
    }
  })

  app.post('/admins/:id/role', async (request, reply) => {
    const admin = await find(request)
    if (!admin) return missing(reply)
    const role = formOf(request)('role') === 'admin' ? 'admin' : 'viewer'
    const change = await admins.setRole(admin.email, role, actorOf(request))
    return told(reply, change, `${admin.email} has the role ${role} now.`)
  })

  app.get('/admins/:id/remove', async (request, reply) => {
    const admin = await find(request)
    if (!admin) return missing(reply)
    return reply.show('admin/confirm', {
      title: `Remove ${admin.email}?`,
      words: [
        'Their sessions end at once, in every browser, and they can’t sign in any more.',
        'What they did stays in the audit log. Apps and connected users are not affected.',
        ...(admin.id === request.signedIn.admin.id ? ['This is you: you will be signed out.'] : []),
      ],
      button: 'Remove this admin',
      back: HOME,
    })
  })

  app.post('/admins/:id/remove', async (request, reply) => {
    const admin = await find(request)
    if (!admin) return missing(reply)
    const change = await admins.remove(admin.email, actorOf(request), { keepOne: true })
    return told(reply, change, `Removed ${admin.email}. Their sessions have ended.`)
  })
}
