import type { FastifyReply, FastifyRequest } from 'fastify'
import { BrokerError } from '../../../errors.ts'

/** A posted form's fields as text (its token was checked, so there is a body); one that is missing, or sent twice, is empty. */
export function formOf({ body }: Pick<FastifyRequest, 'body'>): (name: string) => string {
  const given = body as Record<string, unknown>
  return (name) => {
    const value = Object.hasOwn(given, name) ? given[name] : ''
    return typeof value === 'string' ? value : ''
  }
}

/** What is wrong with what was typed, to be told beside the form. @throws what isn't of that kind */
export function problemOf(error: unknown): string {
  const isTyped = error instanceof BrokerError && error.code === 'invalid_request'
  if (!isTyped) throw error
  return error.message
}

/** Too many attempts: says for how long, and sets the answer's status. */
export function slowDown(reply: FastifyReply, milliseconds: number): string {
  const seconds = Math.max(Math.ceil(milliseconds / 1000), 1)
  const minutes = Math.ceil(seconds / 60)
  void reply.code(429).header('retry-after', seconds)
  return `Too many attempts failed. Try again in ${minutes === 1 ? 'a minute' : `${minutes} minutes`}.`
}
