import type { FastifyReply, FastifyRequest } from 'fastify'
import { browserOf } from '../../plugins/session.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { formOf, slowDown } from './form.ts'

/**
 * Has the signed-in admin type the password again (field `password`), before what an open browser left
 * alone shouldn't allow. Answers what is wrong, and sets the status; `null`: it is right.
 */
export async function proveIdentity(
  request: FastifyRequest,
  reply: FastifyReply,
  services: HttpServices,
): Promise<string | null> {
  const password = new Secret(formOf(request)('password'))
  const browser = browserOf(request, services)
  const outcome = await services.signIn.prove(request.signedIn.admin, password, browser)
  if (outcome.kind === 'right') return null
  if (outcome.kind === 'slowed') return slowDown(reply, outcome.until - services.clock.now())
  void reply.code(422)
  return 'Your current password is another.'
}
