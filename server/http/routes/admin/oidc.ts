import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { OidcOutcome, OidcSignIn } from '../../../admin/oidc-sign-in.ts'
import { OIDC_FLOW_LIFETIME_MS } from '../../../admin/oidc-flow.ts'
import type { OidcPurpose } from '../../../admin/oidc-flow.ts'
import { ProviderError } from '../../../oidc/provider.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { cookieName, cookieOptions } from '../../plugins/cookies.ts'
import { allowFormRedirects } from '../../plugins/headers.ts'
import {
  browserOf,
  findSession,
  hereAfterwards,
  safeNext,
  setSession,
} from '../../plugins/session.ts'
import { byAdmin } from './request.ts'
import { signInForms } from './sign-in-forms.ts'

/**
 * The way to the identity provider of admins and back (OpenID Connect Core 3.1). Each flow is in a cookie of its own,
 * so that several tabs work at the same time.
 */

const COOKIE_PREFIX = 'oidc-'
/** A browser with more flows loses the oldest: proxies limit the cookie header, nginx to 8 KiB. */
const MAX_FLOWS = 4
const ACCOUNT_PATH = '/admin/account'
const IDENTITY_PATH = '/admin/confirm-identity'

type Refusal = Extract<OidcOutcome, { kind: 'refused' }>

const statusOf = ({ reason }: Pick<Refusal, 'reason'>): number =>
  reason === 'unreachable' ? 503 : reason === 'slowed' ? 429 : 403

/** Why a sign-in, a link or a confirmation did not happen, and what to do. */
function explain({ reason, label }: Pick<Refusal, 'reason' | 'label'>, name: string): string {
  const texts: Record<Refusal['reason'], string> = {
    expired: 'This sign-in has expired or was already used. Try again.',
    denied: `${name} ended the sign-in. Try again.`,
    unreachable: `${name} can’t be reached at the moment. Try again later, or sign in another way. Without another way, someone with access to the server can run “ellipsis-broker admin add”; the log of the broker has the reason.`,
    invalid: `The answer of ${name} could not be verified, so nothing was changed. The log of the broker has the reason.`,
    no_role: `${label} has no access to this dashboard. Ask those who manage ${name} for a role, then sign in again.`,
    other_account: `${label} is not your account at ${name}. Sign in there with your own account.`,
    not_recent: `${name} did not confirm that you have just signed in there, so nothing was changed. Use another way, or ask those who manage ${name} whether it supports max_age and auth_time.`,
    slowed: 'Too many failed attempts. Try again in 15 minutes.',
    taken: `${label} is already linked to another admin.`,
  }
  return texts[reason]
}

/** Routes that exist only with an identity provider. */
const oidcRoutes =
  (
    register: (app: FastifyInstance, services: HttpServices, oidc: OidcSignIn) => void,
  ): FastifyPluginAsync<{ services: HttpServices }> =>
  async (app, { services }) => {
    if (services.oidcSignIn) register(app, services, services.oidcSignIn)
  }

/** The way to the identity provider, and what the browser gets if it ends without success. */
function oidcPages(oidc: OidcSignIn, services: HttpServices) {
  const { config } = services
  const { name } = oidc
  const forms = signInForms(services)

  const showRefusal = (request: FastifyRequest, reply: FastifyReply, refusal: Refusal) => {
    const { reason, purpose, next } = refusal
    const message = explain(refusal, name)
    request.refusalReason = `oidc_${reason}`
    void reply.code(statusOf(refusal))
    if (purpose === 'sign-in') return forms.showForm(reply, { next, problem: message })
    if (reason === 'no_role') return reply.page('notice', { title: 'No access', message })
    if ('link' in purpose) return reply.done(ACCOUNT_PATH, message, 'problem')
    const query = new URLSearchParams({ next: safeNext(next, services) }).toString()
    reply.notify(message, 'problem')
    return reply.redirect(`${config.basePath}${IDENTITY_PATH}?${query}`, 303)
  }

  /** Gives the browser a flow, and takes the oldest ones that leave no room for it. Browsers send them first. */
  const setCookie = (
    { stateHash, cookie }: { stateHash: string; cookie: Secret },
    { cookies }: FastifyRequest,
    reply: FastifyReply,
  ): void => {
    const prefix = cookieName(COOKIE_PREFIX, config)
    const older = Object.keys(cookies).filter((each) => each.startsWith(prefix))
    for (const each of older.slice(0, Math.max(0, older.length - MAX_FLOWS + 1)))
      void reply.clearCookie(each, cookieOptions(config))
    const options = { ...cookieOptions(config), maxAge: OIDC_FLOW_LIFETIME_MS / 1000 }
    void reply.setCookie(prefix + stateHash, cookie.reveal(), options)
  }

  const redirectToProvider = async (
    purpose: OidcPurpose,
    next: string,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => {
    try {
      const { location, ...flow } = await oidc.begin(purpose, next)
      setCookie(flow, request, reply)
      return reply.redirect(location, 303)
    } catch (error) {
      if (!(error instanceof ProviderError)) throw error
      const refusal = { kind: 'refused', reason: error.kind, purpose, next, label: '' } as const
      return showRefusal(request, reply, refusal)
    }
  }

  return { showRefusal, redirectToProvider }
}

/** Sign in with the identity provider, and its callback. */
export const oidcSignInRoutes = oidcRoutes((app, services, oidc) => {
  const { config } = services
  const { showRefusal, redirectToProvider } = oidcPages(oidc, services)

  app.get('/oidc/sign-in', (request, reply) =>
    redirectToProvider('sign-in', nextOf(request, services), request, reply),
  )

  app.get('/oidc/callback', { exposeHeadRoute: false }, async (request, reply) => {
    const { searchParams } = new URL(request.url, config.publicUrl)
    const signedIn = await findSession(request, services)
    const readCookie = (stateHash: string) => {
      const cookie = cookieName(COOKIE_PREFIX, config) + stateHash
      const value = request.cookies[cookie]
      if (value !== undefined) void reply.clearCookie(cookie, cookieOptions(config))
      return value === undefined ? undefined : new Secret(value)
    }
    const outcome = await oidc.finish(
      searchParams,
      readCookie,
      signedIn,
      browserOf(request, services),
    )
    switch (outcome.kind) {
      case 'signed_in':
        setSession(reply, outcome, services)
        if (outcome.keptRole) reply.notify(KEPT_ROLE, 'problem')
        return reply.redirect(safeNext(outcome.next, services), 303)
      case 'linked':
        return reply.done(
          ACCOUNT_PATH,
          `Linked ${outcome.label}. You can now sign in with ${oidc.name}.`,
        )
      case 'refused':
        return showRefusal(request, reply, outcome)
    }
  })
})

/** For a signed-in admin: confirm who they are, link an account of the identity provider, end the link. */
export const oidcAccountRoutes = oidcRoutes((app, services, oidc) => {
  const { name } = oidc
  const { redirectToProvider } = oidcPages(oidc, services)
  const ownAfterwards = { own: true, fresh: hereAfterwards }

  app.get('/confirm-identity/oidc', { config: { own: true } }, (request, reply) => {
    const purpose = { confirm: request.signedIn.session.idHash }
    return redirectToProvider(purpose, nextOf(request, services), request, reply)
  })

  app.get('/account/oidc/link', { config: ownAfterwards }, async (_request, reply) => {
    allowFormRedirects(reply, services.config)
    return reply.show('admin/confirm-own', {
      title: `Link your account at ${name}?`,
      paragraphs: [
        `You sign in at ${name} with the account that you want to link. Afterwards it signs you in here, too, without your password and second factor.`,
        `Your role then follows what ${name} says, each time you sign in with it.`,
      ],
      button: `Continue to ${name}`,
      tone: 'primary',
      back: ACCOUNT_PATH,
    })
  })

  app.post('/account/oidc/link', { config: ownAfterwards }, (request, reply) =>
    redirectToProvider({ link: request.signedIn.session.idHash }, '', request, reply),
  )

  app.get('/account/oidc/unlink', { config: ownAfterwards }, async (_request, reply) =>
    reply.show('admin/confirm-own', {
      title: `Unlink your account at ${name}?`,
      paragraphs: [
        'You then sign in with your password again. Your role stays as it is now.',
        `Your other sessions that ${name} began end.`,
      ],
      button: 'Unlink account',
      tone: 'danger',
      back: ACCOUNT_PATH,
    }),
  )

  app.post('/account/oidc/unlink', { config: ownAfterwards }, async (request, reply) =>
    (await oidc.unlink(request.signedIn, byAdmin(request)))
      ? reply.done(ACCOUNT_PATH, `Unlinked. ${name} no longer signs you in.`)
      : reply.done(ACCOUNT_PATH, 'Nothing was unlinked.', 'problem'),
  )
})

const KEPT_ROLE =
  'The identity provider gives you another role. You keep the role admin, because you are the last admin with a password.'

/** Where the admin goes afterwards, from the query. */
const nextOf = ({ query }: FastifyRequest, services: HttpServices): string =>
  safeNext((query as { next?: unknown }).next, services)
