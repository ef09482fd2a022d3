import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import { browserOf, setSession } from '../../plugins/session.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'

/** Sign in once with a link that the command line printed. The page only shows whom it signs in: programs open links. */
export const signInLinkRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { signInLinks } = services
  const linkOf = (params: unknown) => new Secret((params as { link: string }).link)

  const expired = (reply: FastifyReply, status: number) =>
    reply.code(status).page('notice', {
      title: 'This link has expired',
      message:
        'It signs in once, within an hour. Someone with access to the server can print another one: run “ellipsis-broker admin add”.',
    })

  app.get('/sign-in/link/:link', async ({ params }, reply) => {
    const admin = await signInLinks.find(linkOf(params))
    if (!admin) return expired(reply, 404)
    return reply.page('admin/sign-in-link', { csrf: reply.generateCsrf(), email: admin.email })
  })

  app.post('/sign-in/link/:link', async (request, reply) => {
    const begun = await signInLinks.use(linkOf(request.params), browserOf(request, services))
    if (!begun) return expired(reply, 403)
    setSession(reply, begun, services)
    return reply.redirect(`${services.config.basePath}/admin`, 303)
  })
}
