/** A process that uses the store, as the others see it. */
export interface RunningProcess {
  pid: number
  /** `serve`, or another command. */
  command: string
  /** Milliseconds since the epoch, by its own clock. */
  startedAt: number
  /** Ids of the encryption keys that it has loaded, the one that seals first. */
  keyIds: string[]
  /** Its machine; missing: this one. */
  host?: string
}

/** The registration of this process. */
export interface Presence {
  id: string
  setKeyIds(keyIds: string[]): Promise<void>
  unregister(): Promise<void>
}

/** What the processes that share a store agree on: locks, and which of them are running. */
export interface Coordination {
  /**
   * Runs `work` while no other process does so on this store. Everything that a first start creates (tables, keys)
   * must be created within. The lock is released when the process dies, however it dies.
   * @throws LockHeldError if others held it for a minute
   */
  withStartLock<T>(work: () => Promise<T>): Promise<T>
  /** Runs `work` while no other process holds the lock of that name. @throws LockHeldError if one does */
  withLock<T>(name: string, work: () => Promise<T>): Promise<T>
  /** Registers this process as using the store, until it unregisters or dies. Call it under the start lock. */
  register(info: RunningProcess): Promise<Presence>
  /** The processes that use the store. A paused process counts as alive. */
  listProcesses(): Promise<(RunningProcess & { id: string })[]>
  /** Has the process with that id died or unregistered? A paused process counts as alive. */
  hasDied(id: string): Promise<boolean>
  /** How long a lease lasts by the store's clock, milliseconds: then others may take it, although its holder lives. */
  leaseMs: number
  /**
   * How long the holder of a lease that is written now may rely on it, by its own clock, milliseconds. Others may take
   * it over no earlier.
   */
  holdMs(): number
  close(): Promise<void>
}

/** Processes for a message. */
export const describeProcesses = (processes: RunningProcess[]): string =>
  processes
    .map(({ pid, command, host }) => `${pid}${host ? ` on ${host}` : ''} (${command})`)
    .join(', ')
