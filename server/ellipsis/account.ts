import { EllipsisError, toEllipsisError } from './errors.ts'
import type { UpstreamResponse } from './errors.ts'
import { visibleStart } from '../visible-text.ts'

/** The account that a token belongs to. */
export interface Account {
  /** `null`: not in the response. Only this identifies an account. */
  id: string | null
  /** A label for people, without control characters; may be empty. */
  username: string
}

/**
 * Reads the response of `GET /account`. Returns `null` if OAuth tokens may not read the account, which is not
 * an error. `username` is documented, `id` is only likely, `email` is not used.
 * @param now milliseconds
 * @throws EllipsisError
 */
export function readAccount(response: UpstreamResponse, now: number): Account | null {
  const { status, json } = response
  if ([401, 403, 404].includes(status)) return null
  if (status !== 200) throw toEllipsisError(response, now)
  if (json === null) {
    const message = 'Ellipsis Drive’s answer about the account can’t be read'
    throw new EllipsisError(message, { kind: 'transient', status, maybeApplied: false })
  }
  return { id: readId(json.id), username: readLabel(json.username) }
}

const MAX_ID_LENGTH_CHARS = 200
const MAX_LABEL_LENGTH_CHARS = 200

/** Unsafe integers are not accepted: JSON cannot tell them apart, so two accounts would become one. */
function readId(id: unknown): string | null {
  const text = Number.isSafeInteger(id) ? String(id) : id
  const isValid =
    typeof text === 'string' && text.length <= MAX_ID_LENGTH_CHARS && /^[\x21-\x7e]+$/.test(text)
  return isValid ? text : null
}

/** Safe to show on terminals and pages: see `visibleText`. */
const readLabel = (username: unknown): string =>
  typeof username === 'string' ? visibleStart(username, MAX_LABEL_LENGTH_CHARS) : ''
