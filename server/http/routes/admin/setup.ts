import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Admin } from '../../../../db/store.ts'
import { FORM_EXPIRED } from '../../plugins/csrf.ts'
import { browserOf, setSession } from '../../plugins/session.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { fieldReader, validationMessage } from './request.ts'

/** Setup: anyone with the setup URL that the broker printed can create the first admin. */
export const setupRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { setup, sessions } = services

  const expired = (reply: FastifyReply, status = 404) =>
    reply.code(status).page('notice', {
      title: 'This setup URL has expired',
      message:
        'A setup URL is valid for one hour, until there is an admin. If you are an admin, sign in. Otherwise restart the broker to get a new URL, or run “ellipsis-broker admin add”.',
    })

  const showForm = (reply: FastifyReply, email = '', problem: string | null = null) =>
    reply.page('admin/setup', { csrf: reply.generateCsrf(), email, problem })

  app.get('/setup/:secret', async (request, reply) => {
    const { secret } = request.params as { secret: string }
    return (await setup.isOpen(new Secret(secret))) ? showForm(reply) : expired(reply)
  })

  const renewForm = async (request: FastifyRequest, reply: FastifyReply) => {
    const { secret } = request.params as { secret: string }
    if (!(await setup.isOpen(new Secret(secret)))) return expired(reply, 403)
    return showForm(reply, fieldReader(request.body ?? {})('email'), FORM_EXPIRED)
  }

  app.post('/setup/:secret', { config: { renewForm } }, async (request, reply) => {
    const secret = new Secret((request.params as { secret: string }).secret)
    if (!(await setup.isOpen(secret))) return expired(reply)
    const field = fieldReader(request.body)
    const [email, password] = [field('email'), new Secret(field('password'))]
    let admin: Admin | undefined
    try {
      admin = await setup.complete(secret, { email, password, address: request.ip })
    } catch (error) {
      void reply.code(422)
      return showForm(reply, email, validationMessage(error))
    }
    const started = admin && (await sessions.begin(admin, browserOf(request, services)))
    if (!started) return expired(reply)
    setSession(reply, started, services)
    return services.config.requireSecondFactor
      ? reply.done('/admin/account/second-factor', 'You are the first admin.')
      : reply.done('/admin', 'You are the first admin. Set up a second factor under “Account”.')
  })
}
