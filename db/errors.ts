/**
 * The store can't be read or written now: it is locked, the disk is full, or it is read-only. Nothing was
 * changed; a retry may succeed later.
 */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError'
  /** The engine's error code. */
  readonly code: string

  constructor(code: string, cause: unknown) {
    super(`the store can’t be used now (${code})`, { cause })
    this.code = code
  }
}
