import type { FastifyReply, FastifyRequest } from 'fastify'
import { sha256 } from '../../crypto/hash.ts'
import { Secret } from '../../secret.ts'
import { cookieName, cookieOptions } from './cookies.ts'

/** One cookie a flow, so that two tabs don't fight; it binds the flow to this browser. */

const PREFIX = 'flow-'
const LIFE_SECONDS = 600
/** A browser with more flows than this under way has left them; browsers limit what they send. */
const MOST = 20

const flowCookie = (state: string, secure: boolean): string =>
  cookieName(PREFIX + sha256(state).slice(0, 16), secure)

export function setFlowCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  flow: { state: string; browserSecret: Secret },
  secure: boolean,
): void {
  const known = Object.keys(request.cookies).filter((name) => name.includes(PREFIX))
  if (known.length > MOST)
    for (const name of known) void reply.clearCookie(name, cookieOptions(secure))
  const cookie = flowCookie(flow.state, secure)
  const life = { ...cookieOptions(secure), maxAge: LIFE_SECONDS }
  void reply.setCookie(cookie, flow.browserSecret.reveal(), life)
}

/** This browser's secret for that state, taken from it. */
export function takeFlowCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  state: string,
  secure: boolean,
): Secret | undefined {
  const name = flowCookie(state, secure)
  const value = request.cookies[name]
  if (value === undefined) return undefined
  void reply.clearCookie(name, cookieOptions(secure))
  return new Secret(value)
}
