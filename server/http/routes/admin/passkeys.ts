import type { FastifyPluginAsync } from 'fastify'
import type { HttpServices } from '../../../services.ts'
import { readPasskeyForm, sendPasskeyOptions } from '../../plugins/passkeys.ts'
import { byAdmin, fieldReader } from './request.ts'

const SECOND_FACTOR_PATH = '/admin/account/second-factor'

/** The signed-in admin's passkeys: add one, remove one. second-factor.ts shows them. */
export const passkeyRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { passkeys } = services
  const config = {
    own: true,
    enrols: true,
    fresh: () => services.config.basePath + SECOND_FACTOR_PATH,
  }

  app.post('/account/passkeys/options', { config }, async (request, reply) =>
    sendPasskeyOptions(reply, await passkeys.offerNew(request.signedIn), services),
  )

  app.post('/account/passkeys', { config }, async (request, reply) => {
    const name = fieldReader(request.body)('name')
    const made = { ...readPasskeyForm(request, reply, services), name }
    const added = await passkeys.add(request.signedIn, made, request.ip)
    switch (added.kind) {
      case 'added':
        return reply.done(
          SECOND_FACTOR_PATH,
          `Added the passkey “${added.name}”. Use it at the next sign-in, in place of your password or after it.`,
        )
      case 'full':
        return reply.done(SECOND_FACTOR_PATH, 'Remove a passkey before you add another.', 'problem')
      case 'refused':
        return reply.done(
          SECOND_FACTOR_PATH,
          'The passkey could not be verified, so nothing was changed. Try again.',
          'problem',
        )
    }
  })

  app.post('/account/passkeys/remove', { config }, async (request, reply) => {
    const id = fieldReader(request.body)('id')
    const removed = await passkeys.remove(request.signedIn.admin, id, byAdmin(request))
    return removed
      ? reply.done(
          SECOND_FACTOR_PATH,
          `Removed the passkey “${removed.name}”. Delete it from the device or password manager too.`,
        )
      : reply.done(SECOND_FACTOR_PATH, 'That passkey was already removed.')
  })
}
