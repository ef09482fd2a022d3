/** What dashboard routes read from a request: form fields, the acting admin, a confirmed password. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ProofFailure } from '../../../admin/sign-in.ts'
import { BrokerError } from '../../../errors.ts'
import { Secret } from '../../../secret.ts'
import type { HttpServices } from '../../../services.ts'
import { browserOf } from '../../plugins/session.ts'

/**
 * Reads fields of a form or a query as text. A field that is missing or sent twice is empty.
 * @param fields the parsed body or query
 */
export function fieldReader(fields: unknown): (name: string) => string {
  const values = fields as Record<string, unknown>
  return (name) => {
    const value = Object.hasOwn(values, name) ? values[name] : ''
    return typeof value === 'string' ? value : ''
  }
}

/** The signed-in admin with the IP address, as the actor of a change. */
export const byAdmin = ({ signedIn, ip }: FastifyRequest): { actor: string; address: string } => ({
  actor: `admin:${signedIn.admin.email}`,
  address: ip,
})

/** The message of an invalid form, to be shown beside it. @throws every other error */
export function validationMessage(error: unknown): string {
  const isInvalid = error instanceof BrokerError && error.code === 'invalid_request'
  if (!isInvalid) throw error
  return error.message
}

/** Sets status 429 and `Retry-After`, and returns the message for the form. */
export function tooManyAttempts(reply: FastifyReply, delayMs: number): string {
  const seconds = Math.max(Math.ceil(delayMs / 1000), 1)
  const minutes = Math.ceil(seconds / 60)
  void reply.code(429).header('retry-after', seconds)
  reply.request.refusalReason = 'too_many_attempts'
  return `Too many failed attempts. Try again in ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}.`
}

/**
 * Checks the current password of the signed-in admin (field `password`), before an action that an unattended
 * browser must not allow.
 * @param options.code also ask for the second factor, if there is one (field `code`)
 * @returns `null` if it is correct; otherwise a message for the form, with the status set
 */
export async function confirmPassword(
  request: FastifyRequest,
  reply: FastifyReply,
  services: HttpServices,
  { code = false } = {},
): Promise<string | null> {
  const field = fieldReader(request.body)
  const proof = { password: new Secret(field('password')), code: code ? field('code') : null }
  const browser = browserOf(request, services)
  const outcome = await services.signIn.prove(request.signedIn, proof, browser)
  return outcome.kind === 'right' ? null : proofProblem(request, reply, outcome, services)
}

/** Sets the status, and returns the message for the form. */
export function proofProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  outcome: ProofFailure,
  { clock }: HttpServices,
): string {
  if (outcome.kind === 'slowed') return tooManyAttempts(reply, outcome.until - clock.now())
  void reply.code(422)
  const isCode = outcome.kind === 'wrong_code'
  request.refusalReason = isCode ? 'second_factor_wrong' : 'password_wrong'
  return isCode ? WRONG_CODE : 'The current password is incorrect.'
}

export const PASSKEY_REFUSED = 'The passkey was not accepted. Try again, or use another way.'

export const WRONG_CODE = 'Incorrect code, or the code was already used.'
