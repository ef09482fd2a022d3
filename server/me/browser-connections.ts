import type { Store } from '../../db/store.ts'
import { browserHashOf } from '../connections/devices.ts'
import type { Throttle } from '../runtime.ts'
import type { Secret } from '../secret.ts'

/** As many as fit into the cookie of a session. */
const MAX_CONNECTIONS = 50
const BATCH_SIZE = 1000

/**
 * Finds the connections without an account that were made in this browser. The store does not show which grants share
 * a browser, so this hashes for each of them, in batches; only installations whose Ellipsis Drive tells no account
 * need it, once for each sign-in at `/me`.
 */
export type FindBrowserConnections = (browser: Secret) => Promise<string[]>

export function createFindBrowserConnections(dependencies: {
  store: Pick<Store, 'listGrantsWithoutAccount'>
  throttle: Throttle
}): FindBrowserConnections {
  const { store, throttle } = dependencies
  return async (browser) => {
    const found = new Set<string>()
    const read = (after: string | null) =>
      throttle(() => store.listGrantsWithoutAccount({ after, limit: BATCH_SIZE }))
    let after: string | null = null
    do {
      const { rows, next } = await read(after)
      for (const { browserHash, appId, connectionId } of rows) {
        if (browserHash === browserHashOf(browser, appId, connectionId)) found.add(connectionId)
      }
      after = next
    } while (after !== null)
    return [...found].slice(-MAX_CONNECTIONS)
  }
}
