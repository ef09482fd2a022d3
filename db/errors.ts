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

/** The database was written by a newer version of this program. */
export class StoreTooNewError extends Error {
  override name = 'StoreTooNewError'
  readonly file: string

  constructor(file: string) {
    super(`${file} was written by a newer version of this program`)
    this.file = file
  }
}

/** The copy before a change can't be written, for example because the disk is full. */
export class KeptCopyError extends Error {
  override name = 'KeptCopyError'
  readonly file: string

  constructor(file: string, options: ErrorOptions) {
    super(`${file} can't be written`, options)
    this.file = file
  }
}
