import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BrokerError } from '../../errors.ts'
import { ProviderError } from '../../oidc/provider.ts'
import type { HttpServices } from '../../services.ts'

const schema = { body: Type.Object({ logout_token: Type.String() }) }
const RETRY_AFTER_SECONDS = 30

/** The identity provider ends sessions of admins (OpenID Connect Back-Channel Logout 1.0, 2.5 to 2.8). */
export const oidcLogoutRoute: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services: { oidcSignIn: oidc } },
) => {
  if (!oidc) return
  app.post('/admin/oidc/logout', { schema }, async (request, reply) => {
    void reply.header('cache-control', 'no-store')
    try {
      await oidc.logout(request.body.logout_token, request.ip)
      return reply.code(200).send()
    } catch (cause) {
      if (!(cause instanceof ProviderError)) throw cause
      if (cause.kind === 'unreachable')
        throw new BrokerError('temporarily_unavailable', {
          ...{ cause, reason: 'oidc_unreachable', retryAfter: RETRY_AFTER_SECONDS },
          description: 'The keys of the identity provider could not be read.',
        })
      throw new BrokerError('invalid_request', {
        ...{ cause, reason: 'logout_token_invalid' },
        description: 'The logout token is not valid.',
      })
    }
  })
}
