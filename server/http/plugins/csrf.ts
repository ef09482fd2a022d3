import csrf from '@fastify/csrf-protection'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../../config/config.ts'
import { cookieName, cookieOptions } from './cookies.ts'

/**
 * CSRF tokens bound to the browser by a cookie. Forms carry them in a field `_csrf`, made by
 * `reply.generateCsrf()`; check them in `preHandler` with `app.csrfProtection` (earlier there is no body).
 */
export async function protectForms(
  app: FastifyInstance,
  { publicUrl }: Pick<Config, 'publicUrl'>,
): Promise<void> {
  const secure = publicUrl.startsWith('https:')
  await app.register(csrf, {
    cookieKey: cookieName('csrf', secure),
    cookieOpts: cookieOptions(secure),
    // In the form alone: no header of a script's.
    getToken: ({ body }) => (body as { _csrf?: string } | undefined)?._csrf,
  })
}
