import type { RunningProcess } from './coordination.ts'

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

/** Another process holds the lock of that name. */
export class LockHeldError extends Error {
  override name = 'LockHeldError'

  constructor(lock: string, options: ErrorOptions = {}) {
    super(`another process holds the lock ${lock}`, options)
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

/** The database was written by an older version of this program, and not upgraded yet. */
export class StoreOutdatedError extends Error {
  override name = 'StoreOutdatedError'
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

/** The database needs migrations, which processes of an older version, that still have it open, don't know. */
export class OlderProcessesError extends Error {
  override name = 'OlderProcessesError'
  readonly migrations: string[]
  readonly processes: RunningProcess[]

  constructor(migrations: string[], processes: RunningProcess[]) {
    super('processes of an older version have the database open')
    this.migrations = migrations
    this.processes = processes
  }
}
