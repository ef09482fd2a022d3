import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import type { AuthorizationRequest } from '../../oauth/authorize.ts'
import { deviceLabel } from '../../connections/device-label.ts'
import type { FlowCookie } from '../../connections/flow.ts'
import { sha256 } from '../../crypto/hash.ts'
import { cookieName, cookieOptions } from '../plugins/cookies.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { isSessionCookie } from './session-cookie.ts'

/**
 * The user's way to Ellipsis Drive and back. Each flow is in a cookie of its own, so that several tabs work at
 * the same time.
 */

const COOKIE_PREFIX = 'flow-'
const COOKIE_LIFETIME_SECONDS = 600
/**
 * Proxies limit the cookie header, nginx to 8 KiB. A browser with more flows loses the oldest: a dozen fit, or
 * two with the longest state and redirect URI.
 */
const MAX_COOKIES_LENGTH_CHARS = 6000

/** Begins a flow and redirects to Ellipsis Drive. */
export function redirectToUpstream(
  authorization: AuthorizationRequest,
  request: FastifyRequest,
  reply: FastifyReply,
  { config, connect }: HttpServices,
) {
  const flow = connect.begin(authorization, deviceLabel(request.headers['user-agent']))
  setFlowCookie(flow.cookie, request, reply, config)
  return reply.redirect(flow.location, 303)
}

/** Gives the browser a flow, and takes the oldest ones that leave no room for it. */
export function setFlowCookie(
  cookie: FlowCookie,
  request: FastifyRequest,
  reply: FastifyReply,
  config: Config,
): void {
  const name = prefixOf(config) + cookie.stateHash
  const value = cookie.value.reveal()
  for (const old of findExcess(request, name.length + value.length, config)) {
    void reply.clearCookie(old, cookieOptions(config))
  }
  void reply.setCookie(name, value, { ...cookieOptions(config), maxAge: COOKIE_LIFETIME_SECONDS })
}

/** Names of the oldest flow cookies that leave no room for another one of that length. Browsers send them first. */
function findExcess({ cookies }: FastifyRequest, addedLength: number, config: Config): string[] {
  const sessions = Object.entries(cookies).filter(([name]) => isSessionCookie(name, config))
  let length = addedLength + sessions.join('').length
  return flowCookiesOf(cookies, config)
    .reverse()
    .flatMap(([name, value]) => {
      length += name.length + value.length
      return length > MAX_COOKIES_LENGTH_CHARS ? [name] : []
    })
}

const flowCookiesOf = (cookies: FastifyRequest['cookies'], config: Config): [string, string][] =>
  Object.entries(cookies).flatMap(([name, value]) =>
    name.startsWith(prefixOf(config)) && value !== undefined ? [[name, value]] : [],
  )

const prefixOf = (config: Config): string => cookieName(COOKIE_PREFIX, config)

/**
 * This browser's cookie of the flow with that state; `null`: those of all its flows. The cookies stay, for a
 * callback that is repeated.
 */
export function readFlowCookies(
  { cookies }: FastifyRequest,
  state: string | null,
  config: Config,
): FlowCookie[] {
  const stateHash = state === null ? null : sha256(state)
  return flowCookiesOf(cookies, config)
    .map(([name, value]) => ({
      stateHash: name.slice(prefixOf(config).length),
      value: new Secret(value),
    }))
    .filter((cookie) => stateHash === null || cookie.stateHash === stateHash)
}
