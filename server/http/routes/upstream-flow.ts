import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import type { AuthorizationRequest } from '../../oauth/authorize.ts'
import { deviceLabel } from '../../connections/device-label.ts'
import { sha256 } from '../../crypto/hash.ts'
import { cookieName, cookieOptions } from '../plugins/cookies.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'

/**
 * The user's way to Ellipsis Drive and back. A cookie binds the flow to the browser. Each flow has its own,
 * so that several tabs work at the same time.
 */

const COOKIE_PREFIX = 'flow-'
const COOKIE_LIFETIME_SECONDS = 600
/** Browsers limit the size of the cookie header, so a browser with more flows loses the old ones. */
const MAX_FLOW_COOKIES = 20

/** Starts a flow and redirects to Ellipsis Drive. */
export async function redirectToUpstream(
  authorization: AuthorizationRequest,
  request: FastifyRequest,
  reply: FastifyReply,
  { config, connect }: HttpServices,
) {
  const flow = await connect.begin(authorization, deviceLabel(request.headers['user-agent']))
  const existing = Object.keys(request.cookies).filter((name) => name.includes(COOKIE_PREFIX))
  if (existing.length > MAX_FLOW_COOKIES) {
    for (const name of existing) void reply.clearCookie(name, cookieOptions(config))
  }
  const options = { ...cookieOptions(config), maxAge: COOKIE_LIFETIME_SECONDS }
  void reply.setCookie(flowCookieName(flow.state, config), flow.browserSecret.reveal(), options)
  return reply.redirect(flow.location, 303)
}

/**
 * This browser's secret for the flow with that state; `null`: those of all its flows. The cookies stay, for a
 * callback that is repeated.
 */
export function readFlowCookies(
  { cookies }: FastifyRequest,
  state: string | null,
  config: Config,
): Secret[] {
  const prefix = cookieName(COOKIE_PREFIX, config)
  const names =
    state === null
      ? Object.keys(cookies).filter((name) => name.startsWith(prefix))
      : [flowCookieName(state, config)]
  return names.flatMap((name) => {
    const value = cookies[name]
    return value === undefined ? [] : [new Secret(value)]
  })
}

const flowCookieName = (state: string, config: Config): string =>
  cookieName(COOKIE_PREFIX + sha256(state).slice(0, 16), config)
