import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { hasPassword, hasSecondFactor } from '../../admin/admins.ts'
import { isFresh } from '../../admin/sessions.ts'
import type { Browser, SignedIn } from '../../admin/sessions.ts'
import { BrokerError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { cookieName, cookieOptions } from './cookies.ts'
import { mayBeProxy } from './peer.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The signed-in admin and session. Always set inside the scope of `requireSession`. */
    signedIn: SignedIn
  }
  interface FastifyContextConfig {
    /** Viewers may use the route: it changes only their own account, or nothing (an export). */
    own?: boolean
    /**
     * The route needs a recent sign-in. Returns where the admin goes once they have proved who they are: a page of
     * the dashboard, with the base path. `null`: this request does not need it.
     */
    fresh?: (request: FastifyRequest) => string | null
    /** The route is part of setting up a second factor, so an admin who still needs one may use it. */
    enrols?: boolean
  }
}

const [SESSION_COOKIE, DEVICE_COOKIE] = ['session', 'device']
/** The longest lifetime that browsers allow (draft-ietf-httpbis-rfc6265bis 5.5). */
const DEVICE_COOKIE_LIFETIME_SECONDS = 400 * 86_400

/** Is the method safe, so that the request changes nothing (RFC 9110 9.2.1)? */
export const isSafe = ({ method }: Pick<FastifyRequest, 'method'>): boolean =>
  method === 'GET' || method === 'HEAD'

/**
 * Requires a session in this scope. Unsafe methods also require the role `admin`, except on routes with
 * `config: { own: true }`, and a recent sign-in on routes with `config: { fresh }`.
 */
export function requireSession(app: FastifyInstance, services: HttpServices): void {
  app.addHook('onRequest', async (request, reply) => {
    const signedIn = await findSession(request, services)
    if (!signedIn?.session.complete) {
      const next = isSafe(request) ? `?next=${encodeURIComponent(request.url)}` : ''
      if (next === '') reply.notify('Your session has expired, so nothing was changed.', 'problem')
      return reply.redirect(`${services.config.basePath}/admin/sign-in${next}`, 303)
    }
    request.signedIn = signedIn
    const { basePath } = services.config
    const { enrols, fresh } = request.routeOptions.config
    if (mustEnrol(signedIn, services) && !enrols)
      return reply.redirect(`${basePath}/admin/account/second-factor`, 303)
    const isOwn = request.routeOptions.config.own === true
    const mayChange = signedIn.admin.role === 'admin'
    const isLate = !isFresh(signedIn.session, services.clock.now())
    const afterwards = (isLate && (mayChange || isOwn) && fresh?.(request)) || null
    if (afterwards !== null) {
      const next = encodeURIComponent(afterwards)
      return reply.redirect(`${basePath}/admin/confirm-identity?next=${next}`, 303)
    }
    if (isSafe(request) || isOwn || mayChange) return
    const description =
      'Your access is read-only, so nothing was changed. Ask someone with the role admin to make this change.'
    throw new BrokerError('access_denied', { description, reason: 'role_is_viewer' })
  })
}

/** For `config.fresh`: the same URL, which shows the form of the change. */
export const hereAfterwards = ({ url }: FastifyRequest): string => url

/**
 * Does the admin lack the second factor that this broker requires? They can then only set one up. The identity
 * provider is responsible for those whom it signs in.
 */
export const mustEnrol = (
  { admin, session }: SignedIn,
  { config }: Pick<HttpServices, 'config'>,
): boolean =>
  config.requireSecondFactor &&
  session.oidcIssuer === null &&
  isLocalAccount(admin, config) &&
  !hasSecondFactor(admin)

/** Does the admin have a password that they can use? Second factor and passkeys belong to it. */
export const isLocalAccount = (
  admin: SignedIn['admin'],
  { adminPasswords }: Pick<HttpServices['config'], 'adminPasswords'>,
): boolean => adminPasswords && hasPassword(admin)

/** In this scope, others than local accounts get a page that says so. */
export function requireLocalAccount(app: FastifyInstance, { config }: HttpServices): void {
  app.addHook('preHandler', async ({ signedIn }, reply) =>
    isLocalAccount(signedIn.admin, config)
      ? undefined
      : reply.missing('Your account has no password here, so it has no second factor here either.'),
  )
}

/** The session of this browser, also one that still needs the second factor. */
export async function findSession(
  request: FastifyRequest,
  services: HttpServices,
): Promise<SignedIn | undefined> {
  const value = request.cookies[cookieName(SESSION_COOKIE, services.config)]
  return value === undefined ? undefined : services.sessions.find(new Secret(value))
}

/** Sets the session cookie, which lasts until the browser closes, and the device cookie if there is one. */
export function setSession(
  reply: FastifyReply,
  { session, device }: { session: Secret; device?: Secret },
  { config }: HttpServices,
): void {
  const options = cookieOptions(config)
  void reply.setCookie(cookieName(SESSION_COOKIE, config), session.reveal(), options)
  if (!device) return
  const longLived = { ...options, maxAge: DEVICE_COOKIE_LIFETIME_SECONDS }
  void reply.setCookie(cookieName(DEVICE_COOKIE, config), device.reveal(), longLived)
}

export function clearSession(reply: FastifyReply, { config }: HttpServices): void {
  void reply.clearCookie(cookieName(SESSION_COOKIE, config), cookieOptions(config))
}

/** The browser that sent a request. */
export function browserOf(request: FastifyRequest, { config }: HttpServices): Browser {
  const device = request.cookies[cookieName(DEVICE_COOKIE, config)]
  return {
    address: request.ip,
    userAgent: request.headers['user-agent'],
    device: device === undefined || device === '' ? undefined : new Secret(device),
    isAddressShared: mayBeProxy(request, config.publicUrl),
  }
}

/**
 * Where to redirect after signing in: always to a page of the dashboard.
 * @param next from the query, untrusted
 */
export function safeNext(next: unknown, { config }: HttpServices): string {
  const home = `${config.basePath}/admin`
  const { origin } = new URL(config.publicUrl)
  const url = typeof next === 'string' ? URL.parse(next, origin) : null
  const isInside = url?.pathname === home || url?.pathname.startsWith(`${home}/`)
  return url?.origin === origin && isInside ? url.pathname + url.search : home
}
