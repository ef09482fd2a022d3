import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Browser, SignedIn } from '../../admin/sessions.ts'
import { BrokerError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { cookieName, cookieOptions } from './cookies.ts'
import { isUnknownProxy } from './peer.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is signed in; inside `requireSession` always somebody. */
    signedIn: SignedIn
  }
  interface FastifyContextConfig {
    /** A change that concerns the visitor's own account alone: viewers may make it too. */
    own?: boolean
  }
}

const [SESSION, DEVICE] = ['session', 'device']
/** Browsers keep no cookie for longer (draft-ietf-httpbis-rfc6265bis 5.5). */
const DEVICE_SECONDS = 400 * 86_400

const isSecure = ({ config }: HttpServices): boolean => config.publicUrl.startsWith('https:')

/** Changes nothing (RFC 9110 9.2.1). */
export const isSafe = ({ method }: Pick<FastifyRequest, 'method'>): boolean =>
  method === 'GET' || method === 'HEAD'

/**
 * Lets nobody into this scope who isn't signed in, and lets viewers only look: what isn't safe needs the
 * role `admin`, but for routes with `config: { own: true }`.
 */
export function requireSession(app: FastifyInstance, services: HttpServices): void {
  app.addHook('onRequest', async (request, reply) => {
    const signedIn = await findSession(request, services)
    if (!signedIn?.session.complete) {
      const next = isSafe(request) ? `?next=${encodeURIComponent(request.url)}` : ''
      if (next === '')
        reply.notify('You were not signed in any more, so nothing was changed.', 'problem')
      return reply.redirect(`${services.config.basePath}/admin/sign-in${next}`, 303)
    }
    request.signedIn = signedIn
    const isOwn = request.routeOptions.config.own === true
    if (isSafe(request) || isOwn || signedIn.admin.role === 'admin') return
    const description = 'You may look, but change nothing: that takes the role admin.'
    throw new BrokerError('access_denied', { description })
  })
}

/** The session of this browser, complete or halfway. */
export async function findSession(
  request: FastifyRequest,
  services: HttpServices,
): Promise<SignedIn | undefined> {
  const value = request.cookies[cookieName(SESSION, isSecure(services))]
  return value === undefined ? undefined : services.sessions.find(new Secret(value))
}

/** Gives this browser its session; it lasts until the browser is closed, or the session has ended. */
export function setSession(
  reply: FastifyReply,
  { session, device }: { session: Secret; device?: Secret },
  services: HttpServices,
): void {
  const secure = isSecure(services)
  const options = cookieOptions(secure)
  void reply.setCookie(cookieName(SESSION, secure), session.reveal(), options)
  if (!device) return
  const life = { ...options, maxAge: DEVICE_SECONDS }
  void reply.setCookie(cookieName(DEVICE, secure), device.reveal(), life)
}

export function clearSession(reply: FastifyReply, services: HttpServices): void {
  const secure = isSecure(services)
  void reply.clearCookie(cookieName(SESSION, secure), cookieOptions(secure))
}

/** Which browser a request comes from. */
export function browserOf(request: FastifyRequest, services: HttpServices): Browser {
  const device = request.cookies[cookieName(DEVICE, isSecure(services))]
  return {
    address: request.ip,
    userAgent: request.headers['user-agent'],
    device: device === undefined || device === '' ? undefined : new Secret(device),
    isAddressShared: isUnknownProxy(request, services.config.publicUrl),
  }
}

/**
 * Where to go after signing in: a page of the dashboard, whatever was asked for.
 * @param next from the address, so from anybody
 */
export function safeNext(next: unknown, { config }: HttpServices): string {
  const home = `${config.basePath}/admin`
  const { origin } = new URL(config.publicUrl)
  const url = typeof next === 'string' ? URL.parse(next, origin) : null
  const isInside = url?.pathname === home || url?.pathname.startsWith(`${home}/`)
  return url?.origin === origin && isInside ? url.pathname + url.search : home
}
