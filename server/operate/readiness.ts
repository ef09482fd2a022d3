import type { SigningKeys } from '../crypto/signing-keys.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime.ts'

/** How long a check of the store is reused: it writes to the database, and anyone may request it. */
const CACHE_MS = 1000
/** A locked store is not ready; load balancers and probes wait a second for the answer. */
const TIMEOUT_MS = 800

/** Can the broker serve, and which part works? */
export interface Readiness {
  ready: boolean
  /** The database can be written to. */
  store: boolean
  /** There is an active signing key. */
  keys: boolean
}

/** Returns the check behind `/readyz` and the metric. It answers within a second, and logs each change. */
export function createReadiness(dependencies: {
  checkWritable: () => Promise<unknown>
  keys: Pick<SigningKeys, 'current'>
  clock: Clock
  log: Log
}): () => Promise<Readiness> {
  const { checkWritable, keys, clock, log } = dependencies
  const findStoreError = cached(clock, withTimeLimit(checkWritable, clock))
  const findKeyError = withTimeLimit(() => keys.current('EdDSA'), clock)
  /** What was logged last; empty: ready. */
  let logged = ''

  const logChange = (error: Error | null): void => {
    const message = error?.message ?? ''
    if (message === logged) return
    logged = message
    if (error) log.error({ err: error }, 'not ready')
    else log.info({}, 'ready again')
  }

  return async () => {
    const [storeError, keyError] = await Promise.all([findStoreError(), findKeyError()])
    logChange(storeError ?? keyError)
    const [store, hasKey] = [storeError === null, keyError === null]
    return { ready: store && hasKey, store, keys: hasKey }
  }
}

/**
 * The error of a check, or `null`; an error if it takes too long. A check that still runs is waited for again
 * instead of starting another.
 */
function withTimeLimit(check: () => Promise<unknown>, clock: Clock): () => Promise<Error | null> {
  let running: Promise<Error | null> | null = null
  return async () => {
    running ??= check()
      .then(
        () => null,
        (error: Error) => error,
      )
      .finally(() => (running = null))
    const checked = new AbortController()
    const timeout = clock.sleep(TIMEOUT_MS, checked.signal)
    const message = `the database could not be written to within ${TIMEOUT_MS} ms`
    return Promise.race([running, timeout.then(() => new Error(message))]).finally(() =>
      checked.abort(),
    )
  }
}

/** Caches the result of `load`. */
function cached<T>(clock: Clock, load: () => Promise<T>): () => Promise<T> {
  let [loadedAt, result]: [number, Promise<T> | null] = [0, null]
  return () => {
    if (result === null || Math.abs(clock.now() - loadedAt) >= CACHE_MS) {
      ;[loadedAt, result] = [clock.now(), load()]
    }
    return result
  }
}
