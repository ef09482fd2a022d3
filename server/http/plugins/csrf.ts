import csrf from '@fastify/csrf-protection'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import { BrokerError } from '../../errors.ts'
import { cookieName, cookieOptions } from './cookies.ts'

/**
 * Registers CSRF tokens that a cookie binds to the browser. A form carries the token in its field `_csrf`,
 * made by `reply.generateCsrf()`. Check it in `preHandler` with `app.csrfProtection`: earlier hooks have
 * no body.
 */
export async function protectForms(
  app: FastifyInstance,
  config: Pick<Config, 'publicUrl'>,
): Promise<void> {
  await app.register(csrf, {
    cookieKey: cookieName('csrf', config),
    cookieOpts: cookieOptions(config),
    // From the form only, never from a header.
    getToken: ({ body }) => (body as { _csrf?: string } | undefined)?._csrf,
  })
}

/**
 * Rejects a form that another site posts, by the browser's `Origin` and `Sec-Fetch-Site` (RFC 9700 2.1).
 * @param advice the second sentence of the message
 * @throws BrokerError `access_denied`
 */
export function checkSameOrigin(
  request: FastifyRequest,
  publicUrl: string,
  advice = 'Go back to the app and connect again.',
): void {
  const { origin, 'sec-fetch-site': site } = request.headers
  // Without a referrer (a proxy may add `Referrer-Policy: no-referrer`), browsers send the origin `null`.
  const isOtherOrigin =
    origin === 'null'
      ? site === undefined
      : origin !== undefined && origin !== new URL(publicUrl).origin
  if (isOtherOrigin || (site !== undefined && site !== 'same-origin')) {
    const description = `This form was sent from another site. ${advice}`
    throw new BrokerError('access_denied', { description })
  }
}
