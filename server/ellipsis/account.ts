import { EllipsisError } from './errors.ts'
import { failureOf } from './failure.ts'
import type { Answer } from './transport.ts'

/** Whose account it is. */
export interface Account {
  /** `null`: not told. Only this identifies an account. */
  id: string | null
  /** A label for people, without control characters; may be empty. */
  username: string
}

/**
 * Reads an answer of `GET /account`. OAuth tokens may not be allowed to ask, which is no fault: `null`.
 * `username` is certain, `id` only likely; `email` isn't counted on.
 * @param now milliseconds
 * @throws EllipsisError
 */
export function readAccount(answer: Answer, now: number): Account | null {
  const { status, json } = answer
  if ([401, 403, 404].includes(status)) return null
  if (status !== 200) throw failureOf(answer, now)
  if (json === null) {
    const words = 'Ellipsis Drive’s answer about the account can’t be read'
    throw new EllipsisError(words, { kind: 'transient', status, maybeApplied: false })
  }
  return { id: idOf(json.id), username: labelOf(json.username) }
}

/** Longest id and username, characters. */
const LONGEST = 200

/** Numbers that JSON can't tell apart are no identity: two accounts would become one. */
function idOf(id: unknown): string | null {
  const text = Number.isSafeInteger(id) ? String(id) : id
  const isId = typeof text === 'string' && text.length <= LONGEST && /^[\x21-\x7e]+$/.test(text)
  return isId ? text : null
}

/** Terminals and pages show it: nothing invisible, no line breaks, no turned direction. */
function labelOf(username: unknown): string {
  if (typeof username !== 'string') return ''
  const visible = username.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').trim()
  return [...visible].slice(0, LONGEST).join('')
}
