import type { FastifyReply, FastifyRequest } from 'fastify'
import { CHALLENGE_LIFETIME_MS } from '../../admin/passkey-challenge.ts'
import type { PasskeyOffer, PasskeyResponse } from '../../admin/passkeys.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { cookieName, cookieOptions } from './cookies.ts'

/**
 * Passkey forms (`views/assets/passkeys.js`): the script posts to `ACTION/options`, and gets options for the browser's
 * dialog; then it sends the form with what the browser made in the field `credential`. The challenge in the options
 * is also in a cookie, sealed, so a response counts only in the browser that asked for it.
 */

const CHALLENGE_COOKIE = 'passkey'

type Configured = Pick<HttpServices, 'config'>

/** Answers `ACTION/options`. */
export function sendPasskeyOptions(
  reply: FastifyReply,
  { options, challenge }: PasskeyOffer<object>,
  { config }: Configured,
): FastifyReply {
  const lifetime = { maxAge: CHALLENGE_LIFETIME_MS / 1000 }
  return reply
    .setCookie(cookieName(CHALLENGE_COOKIE, config), challenge.reveal(), {
      ...cookieOptions(config),
      ...lifetime,
    })
    .send(options)
}

/** Reads a passkey form. The challenge works once, so its cookie is deleted. */
export function readPasskeyForm(
  request: FastifyRequest,
  reply: FastifyReply,
  { config }: Configured,
): PasskeyResponse {
  const name = cookieName(CHALLENGE_COOKIE, config)
  const challenge = request.cookies[name]
  if (challenge !== undefined) void reply.clearCookie(name, cookieOptions(config))
  const { credential } = request.body as { credential?: unknown }
  return {
    response: typeof credential === 'string' ? credential : '',
    challenge: challenge === undefined ? undefined : new Secret(challenge),
  }
}
