import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import { BrokerError } from '../../errors.ts'
import type { AppSession, SessionToken } from '../../oauth/app-sessions.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { cookieName, cookieOptions } from '../plugins/cookies.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route accepts sessions of apps, and CORS with their cookie. */
    acceptsSession?: boolean
  }
}

/**
 * The cookie of an app's session: RFC 10017 6.1.3.2. It counts only together with the header `x-client-id`, which
 * takes a preflight, and with the app's own `Origin` (RFC 10017 6.1.3.3.2).
 */

/** One cookie for each app, so that several apps use one broker. */
const COOKIE_PREFIX = 'session-'
const APP_ID = /^app_[A-Za-z0-9_-]{22}$/

const nameOf = (appId: string, config: Config): string => cookieName(COOKIE_PREFIX, config) + appId

/** Is this the name of a session's cookie? */
export const isSessionCookie = (name: string, config: Config): boolean =>
  name.startsWith(cookieName(COOKIE_PREFIX, config))

export function setSessionCookie(
  reply: FastifyReply,
  { appId, token, expiresIn }: SessionToken,
  config: Config,
): void {
  void reply.header('set-cookie', writeCookie(appId, token.reveal(), expiresIn, config))
}

export function clearSessionCookie(reply: FastifyReply, appId: string, config: Config): void {
  void reply.header('set-cookie', writeCookie(appId, '', 0, config))
}

/** Written here, because the routes of apps have no plugin for cookies. A JWT needs no encoding. */
function writeCookie(appId: string, value: string, maxAgeSeconds: number, config: Config): string {
  const { path, secure } = cookieOptions(config)
  const pair = `${nameOf(appId, config)}=${value}`
  const attributes = [`Max-Age=${maxAgeSeconds}`, `Path=${path}`, 'HttpOnly', 'SameSite=Strict']
  return [pair, ...attributes, ...(secure ? ['Secure'] : [])].join('; ')
}

/** What a request says about its session. */
interface PresentedSession {
  appId: string
  origin: string | undefined
  token: Secret | null
}

/**
 * Reads the session that a page presents, unchecked.
 * @throws BrokerError `invalid_request`, `access_denied`
 */
export function readSessionRequest(
  { headers, routeOptions }: FastifyRequest,
  config: Config,
): PresentedSession {
  const { 'x-client-id': appId, authorization, origin, 'sec-fetch-site': site } = headers
  if (routeOptions.config.acceptsSession !== true) throw invalid(NO_SESSIONS, 'sessions_not_here')
  if (authorization !== undefined) throw invalid(TWO_TOKENS, 'session_and_authorization')
  if (typeof appId !== 'string' || !APP_ID.test(appId)) throw invalid(NO_APP, 'client_id_missing')
  // Browsers send no `SameSite=Strict` cookie from there; this answer says why it is missing.
  if (site !== undefined && site !== 'same-site') {
    throw new BrokerError('access_denied', {
      description: OTHER_SITE,
      reason: 'not_same_site',
      appId,
    })
  }
  return { appId, origin, token: readCookie(headers.cookie, nameOf(appId, config)) }
}

/** The value of a cookie; `null`: it is missing, or its name comes twice, so that somebody else may have set one. */
function readCookie(header: string | undefined, name: string): Secret | null {
  const pairs = (header ?? '').split(';').map((pair) => pair.trim())
  const [value, ...others] = pairs.flatMap((pair) =>
    pair.startsWith(`${name}=`) ? [pair.slice(name.length + 1)] : [],
  )
  return value === undefined || value === '' || others.length > 0 ? null : new Secret(value)
}

/**
 * The valid session of a request, and its token. Extends the cookie if due, and clears one that has ended.
 * @throws BrokerError `invalid_request`, `access_denied`, `unauthorized_client`, `token_refused`,
 *   `connection_revoked`
 */
export async function readSession(
  request: FastifyRequest,
  reply: FastifyReply,
  { appSessions, config }: HttpServices,
): Promise<{ session: AppSession; token: Secret }> {
  const presented = readSessionRequest(request, config)
  const { appId, token } = presented
  try {
    const session = await appSessions.find(presented)
    const { renewed } = session
    if (renewed) {
      const extended = { appId, token: new Secret(renewed.token), expiresIn: renewed.expiresIn }
      setSessionCookie(reply, extended, config)
    }
    return { session, token: token as Secret }
  } catch (error) {
    const isEnded =
      error instanceof BrokerError &&
      (error.code === 'token_refused' || error.code === 'connection_revoked')
    if (isEnded && token !== null) clearSessionCookie(reply, appId, config)
    throw error
  }
}

const invalid = (description: string, reason: string): BrokerError =>
  new BrokerError('invalid_request', { description, reason, isGuess: false })

const NO_SESSIONS = 'This endpoint takes no session: omit the header x-client-id.'
const TWO_TOKENS = 'Send the header x-client-id for a session, or Authorization, but not both.'
const NO_APP = 'Send the app’s client_id in the header x-client-id.'
const OTHER_SITE =
  'This page is on another site than the broker, so browsers send no session. The host can move the app to the broker’s domain, or set --session token.'
