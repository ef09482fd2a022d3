import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import { Secret } from '../../secret.ts'
import { cookieName, cookieOptions } from '../plugins/cookies.ts'

/**
 * The cookie that recognises a browser when it connects again, so that the dashboard shows one device instead of
 * one for each time. It permits nothing. Only its hash with app and connection is stored.
 */

const NAME = 'browser'
/** Browsers keep no cookie for longer (draft-ietf-httpbis-rfc6265bis 5.5). */
const LIFETIME_SECONDS = 400 * 86_400
/** What `newSecret` makes; other values were not set by the broker. */
const SECRET_FORMAT = /^[\w-]{43}$/

export function readBrowserCookie({ cookies }: FastifyRequest, config: Config): Secret | undefined {
  const value = cookies[cookieName(NAME, config)]
  return value !== undefined && SECRET_FORMAT.test(value) ? new Secret(value) : undefined
}

export function setBrowserCookie(reply: FastifyReply, browser: Secret, config: Config): void {
  const options = { ...cookieOptions(config), maxAge: LIFETIME_SECONDS }
  void reply.setCookie(cookieName(NAME, config), browser.reveal(), options)
}
