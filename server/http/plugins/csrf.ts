import Tokens from '@fastify/csrf'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import { translators } from '../../../views/translate.ts'
import { sha256 } from '../../crypto/hash.ts'
import { BrokerError } from '../../errors.ts'
import { cookieName, cookieOptions } from './cookies.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The secret of this response's forms, once there is one. */
    csrfSecret: string | null
  }
  interface FastifyReply {
    /** The token of a form, for its field `_csrf`. Sets a cookie if this browser has no secret yet. */
    generateCsrf(): string
  }
  interface FastifyInstance {
    /** A `preHandler` of forms. @throws BrokerError `access_denied` if the form is not this browser's */
    csrfProtection(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined>
  }
  interface FastifyContextConfig {
    /** Shows the form of this route again, when its token has expired; otherwise an error is shown. */
    renewForm?: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>
  }
}

const COOKIE_PREFIX = 'csrf-'
/**
 * Each page that a browser without a cookie loads at the same time sets another one. A browser that restores
 * more tabs than this loses the newest cookies; their forms are then shown again.
 */
const MAX_SECRETS = 20
const NAME_HASH_LENGTH_CHARS = 12

/** Above a form of the dashboard that is shown again: its token matched no cookie, for example in a restored tab. */
export const FORM_EXPIRED = translators.en.text('form.expired')
const FORM_EXPIRED_ERROR =
  'This form has expired, so nothing was changed. Go back, reload the page and try again.'

/**
 * Registers CSRF tokens that a cookie binds to the browser. A form carries the token in its field `_csrf`,
 * made by `reply.generateCsrf()`. Check it in `preHandler` with `app.csrfProtection`: earlier hooks have
 * no body. Each secret has a cookie of its own, so that pages that load at the same time do not overwrite
 * each other's. Pages reuse a secret that the browser already has.
 */
export function protectForms(app: FastifyInstance, config: Pick<Config, 'publicUrl'>): void {
  const tokens = Tokens()
  const prefix = cookieName(COOKIE_PREFIX, config)
  const nameOf = (secret: string): string =>
    prefix + sha256(secret).slice(0, NAME_HASH_LENGTH_CHARS)

  /** This browser's secrets, the oldest first. */
  const readSecrets = ({ cookies }: FastifyRequest): string[] =>
    Object.entries(cookies).flatMap(([name, value]) =>
      value !== undefined && name.startsWith(prefix) && name === nameOf(value) ? [value] : [],
    )

  const newSecret = (reply: FastifyReply): string => {
    const secret = tokens.secretSync()
    void reply.setCookie(nameOf(secret), secret, cookieOptions(config))
    return secret
  }

  app.decorateRequest('csrfSecret', null)
  app.decorateReply('generateCsrf', function () {
    const secrets = readSecrets(this.request)
    for (const extra of secrets.slice(MAX_SECRETS))
      void this.clearCookie(nameOf(extra), cookieOptions(config))
    this.request.csrfSecret ??= secrets[0] ?? newSecret(this)
    return tokens.create(this.request.csrfSecret)
  })

  app.decorate('csrfProtection', async (request, reply) => {
    const { page, renewForm } = request.routeOptions.config
    checkSameOrigin(
      request,
      config.publicUrl,
      page === 'admin' ? 'Nothing was changed.' : undefined,
    )
    // From the form only, never from a header.
    const { _csrf: token } = (request.body ?? {}) as { _csrf?: unknown }
    const secrets = readSecrets(request).slice(0, MAX_SECRETS)
    if (typeof token === 'string' && secrets.some((secret) => tokens.verify(secret, token))) return
    if (renewForm) return renewForm(request, reply.code(403))
    throw new BrokerError('access_denied', {
      description: FORM_EXPIRED_ERROR,
      reason: 'form_expired',
    })
  })
}

/**
 * Rejects a form that another site posts, by the browser's `Origin` and `Sec-Fetch-Site` (RFC 9700 2.1).
 * @param advice the second sentence of the message
 * @throws BrokerError `access_denied`
 */
function checkSameOrigin(
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
    throw new BrokerError('access_denied', { description, reason: 'form_of_another_site' })
  }
}
