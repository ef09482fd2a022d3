import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SignedIn } from '../../../admin/sessions.ts'
import type { HttpServices } from '../../../services.ts'
import { FORM_EXPIRED } from '../../plugins/csrf.ts'
import { findSession, safeNext } from '../../plugins/session.ts'
import { fieldReader } from './request.ts'

/** The pages of signing in: e-mail address and password, then the second factor. */
export function signInForms(services: HttpServices) {
  const { config, admins, passkeys, oidcSignIn } = services
  const isAllowed = config.adminPasswords
  const action = `${config.basePath}/admin/sign-in`
  const codeAction = `${action}/code`

  const showForm = async (
    reply: FastifyReply,
    form: { next: unknown; email?: string; problem?: string },
  ) => {
    const next = safeNext(form.next, services)
    const query = new URLSearchParams({ next }).toString()
    return reply.page('admin/sign-in', {
      csrf: reply.generateCsrf(),
      action,
      hasPasswords: isAllowed,
      passkeyAction: isAllowed && passkeys.isSupported ? `${action}/passkey` : null,
      provider: oidcSignIn && {
        name: oidcSignIn.name,
        href: `${config.basePath}/admin/oidc/sign-in?${query}`,
      },
      next,
      email: form.email ?? '',
      problem: form.problem ?? null,
      isEmpty: !(await admins.list()).some(({ role }) => role === 'admin'),
    })
  }

  /** @param halfway the session begun with the password */
  const showCodeForm = (
    reply: FastifyReply,
    { admin }: SignedIn,
    { next, problem }: { next: unknown; problem: string | null },
  ) =>
    reply.page('admin/code', {
      csrf: reply.generateCsrf(),
      action: codeAction,
      passkeyAction:
        passkeys.isSupported && admin.passkeyIds.length > 0 ? `${codeAction}/passkey` : null,
      hasCodes: admin.secondFactorSince !== null,
      next: safeNext(next, services),
      back: action,
      problem,
    })

  const renewForm = async (request: FastifyRequest, reply: FastifyReply) => {
    const field = fieldReader(request.body ?? {})
    const problem = 'This page had expired. Sign in again.'
    return showForm(reply, { next: field('next'), email: field('email'), problem })
  }

  const renewCodeForm = async (request: FastifyRequest, reply: FastifyReply) => {
    const halfway = await findSession(request, services)
    if (!halfway || halfway.session.complete) return renewForm(request, reply)
    const next = fieldReader(request.body ?? {})('next')
    return showCodeForm(reply, halfway, { next, problem: FORM_EXPIRED })
  }

  return { action, codeAction, showForm, showCodeForm, renewForm, renewCodeForm }
}
