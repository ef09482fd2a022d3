/** What a failed call means for the broker. */
export type FailureKind =
  /** The grant was refused: `invalid_grant`, in so many words. */
  | 'refused'
  /** The broker's own client was refused: its id or secret is wrong. No grant is to blame. */
  | 'misconfigured'
  /** All else, for what isn't understood is not held against a grant. */
  | 'transient'

/** A call of Ellipsis Drive that brought no good answer. Its words hold nothing that was sent or received. */
export class EllipsisError extends Error {
  override readonly name = 'EllipsisError'
  readonly kind: FailureKind
  /** HTTP status; `null`: there was no answer. */
  readonly status: number | null
  /** How long upstream asked to be left alone, milliseconds. */
  readonly retryAfterMs: number | null
  /** May the call have taken effect all the same? Then the next refresh token may have been lost. */
  readonly maybeApplied: boolean
  /** Upstream's own OAuth error code, if it is one. */
  readonly code: string | null

  constructor(
    message: string,
    facts: {
      kind: FailureKind
      status: number | null
      maybeApplied: boolean
      retryAfterMs?: number | null
      code?: string | null
      cause?: unknown
    },
  ) {
    super(message, { cause: facts.cause })
    this.kind = facts.kind
    this.status = facts.status
    this.maybeApplied = facts.maybeApplied
    this.retryAfterMs = facts.retryAfterMs ?? null
    this.code = facts.code ?? null
  }
}
