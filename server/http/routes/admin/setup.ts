import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import type { Admin } from '../../../../db/store.ts'
import { browserOf, setSession } from '../../plugins/session.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { formOf, problemOf } from './form.ts'

/** Setting up: whoever has the address that the first start printed makes the first admin. */
export const setupRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { setup, sessions } = services

  const ended = (reply: FastifyReply) =>
    reply.code(404).page('notice', {
      title: 'This address has ended',
      message:
        'It was good for an hour, until there was an admin. Sign in if you are one; otherwise start the broker again for another address, or run "ellipsis-broker admin add".',
    })

  const ask = (reply: FastifyReply, email = '', problem: string | null = null) =>
    reply.page('admin/setup', { csrf: reply.generateCsrf(), email, problem })

  app.get('/setup/:secret', async (request, reply) => {
    const { secret } = request.params as { secret: string }
    return (await setup.isOpen(new Secret(secret))) ? ask(reply) : ended(reply)
  })

  app.post('/setup/:secret', async (request, reply) => {
    const secret = new Secret((request.params as { secret: string }).secret)
    if (!(await setup.isOpen(secret))) return ended(reply)
    const field = formOf(request)
    const [email, password] = [field('email'), new Secret(field('password'))]
    let admin: Admin | undefined
    try {
      admin = await setup.complete(secret, { email, password, address: request.ip })
    } catch (error) {
      void reply.code(422)
      return ask(reply, email, problemOf(error))
    }
    const begun = admin && (await sessions.begin(admin, browserOf(request, services)))
    if (!begun) return ended(reply)
    setSession(reply, begun, services)
    return reply.done('/admin', 'You are the first admin. Add a second factor under “Account”.')
  })
}
