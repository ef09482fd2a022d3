import type { Secret } from '../secret.ts'

/** What a failed call means for the broker. */
export type FailureKind =
  /** The grant was refused: `invalid_grant`, in so many words. */
  | 'refused'
  /** The broker's own client was refused: its id or secret is wrong. No grant is to blame. */
  | 'misconfigured'
  /** All else, for what isn't understood is not held against a grant. */
  | 'transient'

export interface FailureFacts {
  kind: FailureKind
  status: number | null
  maybeApplied: boolean
  retryAfterMs?: number | null
  code?: string | null
  refreshToken?: Secret | null
}

/**
 * A call of Ellipsis Drive that brought no good answer. Its words hold nothing that was sent or received,
 * and it has no `cause`: fetch puts the bytes of an answer it can't parse, and headers it won't send, in
 * the errors that it throws.
 */
export class EllipsisError extends Error {
  override readonly name = 'EllipsisError'
  readonly kind: FailureKind
  /** HTTP status; `null`: there was no answer, or a good one was cut off. */
  readonly status: number | null
  /** How long upstream asked to be left alone, milliseconds. */
  readonly retryAfterMs: number | null
  /** May the call have taken effect all the same? Then the next refresh token may have been lost. */
  readonly maybeApplied: boolean
  /** Upstream's own OAuth error code (RFC 6749 5.2), if it is one. */
  readonly code: string | null
  /**
   * The next refresh token, where an answer brought one that is good and nothing else that is. Who rotates
   * holds the only copy now: keep it, or the grant may be lost.
   */
  readonly refreshToken: Secret | null

  constructor(message: string, facts: FailureFacts) {
    super(message)
    this.kind = facts.kind
    this.status = facts.status
    this.maybeApplied = facts.maybeApplied
    this.retryAfterMs = facts.retryAfterMs ?? null
    this.code = facts.code ?? null
    this.refreshToken = facts.refreshToken ?? null
  }
}
