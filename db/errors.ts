/**
 * The store can't be read or written now: others hold it, the disk is full, or it is read-only. Nothing was
 * changed; the same may work later.
 */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError'
  /** The engine's own word for it. */
  readonly code: string

  constructor(code: string, cause: unknown) {
    super(`the store can’t be used now (${code})`, { cause })
    this.code = code
  }
}
