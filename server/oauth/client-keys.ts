import { createLocalJWKSet } from 'jose'
import { LRUCache } from 'lru-cache'
import type { App, Millis } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime.ts'
import { readJwks } from './client-jwks.ts'

export type KeySet = ReturnType<typeof createLocalJWKSet>

/** The keys that apps authenticate with: registered, or published at their `jwks_uri`. */
export interface ClientKeys {
  /**
   * @param renew `true`: the keys that are known do not fit an assertion, so newer ones are fetched, at most once in
   *   30 seconds
   * @returns `null`: the app has none, or with `renew`, none that are newer
   * @throws BrokerError `temporarily_unavailable` if the `jwks_uri` cannot be fetched
   */
  get(app: Pick<App, 'id' | 'jwks' | 'jwksUri'>, renew?: boolean): Promise<KeySet | null>
}

/** How long fetched keys are used: a key that the app removed is accepted for that long. */
const KEYS_LIFETIME_MS = 10 * 60_000
/** Anyone can send assertions with an unknown key, so a URL is fetched at most this often. */
const FETCH_INTERVAL_MS = 30_000
const MAX_SETS = 1000

interface Fetched {
  at: Millis
  /** `null`: the URL could not be fetched. */
  keys: Promise<KeySet | null>
}

/** @param deps.download returns the text at a URL, within a time and size limit */
export function createClientKeys(deps: {
  clock: Clock
  log: Log
  download: (uri: string) => Promise<string>
}): ClientKeys {
  const { clock, log, download } = deps
  const registered = new LRUCache<string, KeySet>({ max: MAX_SETS })
  const fetched = new LRUCache<string, Fetched>({ max: MAX_SETS })

  const readRegistered = (jwks: string): KeySet => {
    const keys = registered.get(jwks) ?? createLocalJWKSet(readJwks(jwks))
    registered.set(jwks, keys)
    return keys
  }

  const fetchKeys = async (uri: string, appId: string): Promise<KeySet | null> => {
    try {
      return createLocalJWKSet(readJwks(await download(uri)))
    } catch (error) {
      log.warn({ err: error, app: appId }, 'the keys of an app can’t be fetched from its jwks_uri')
      return null
    }
  }

  return {
    async get({ id, jwks, jwksUri }, renew = false) {
      if (jwks !== null) return renew ? null : readRegistered(jwks)
      if (jwksUri === null) return null
      const known = fetched.get(jwksUri)
      const age = known ? clock.now() - known.at : Infinity
      const isFailed = known !== undefined && (await known.keys) === null
      const isOld = age >= (renew || isFailed ? FETCH_INTERVAL_MS : KEYS_LIFETIME_MS)
      if (renew && !isOld) return null
      let current = fetched.get(jwksUri)
      // Another request that waited for the same failure may have started the next fetch.
      if (!current || (current === known && isOld)) {
        current = { at: clock.now(), keys: fetchKeys(jwksUri, id) }
        fetched.set(jwksUri, current)
      }
      const keys = await current.keys
      if (keys) return keys
      throw new BrokerError('temporarily_unavailable', {
        reason: 'client_keys_unavailable',
        description: 'The broker cannot fetch the keys of this app from its jwks_uri.',
        retryAfter: FETCH_INTERVAL_MS / 1000,
        appId: id,
      })
    },
  }
}
