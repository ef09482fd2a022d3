import { keepCopy } from '../../db/data-directory/copy.ts'
import type { Store } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'

/** The OAuth client and the API of Ellipsis Drive that connections belong to. */
export interface Owner {
  client_id: string
  api_url: string
}

const BATCH = 500

/**
 * Makes the data belong to another client or API: every connection needs reconnecting, and says why. With
 * another API they lose their accounts and tokens too: there, the same id is another person, and a token
 * must not be sent to it. A copy of the store as it was is kept beside. Cut off, it is begun again with the
 * same flag: whose the data is changes last.
 */
export async function changeOwner(
  store: Store,
  before: Partial<Owner>,
  now: Owner,
  {
    directory,
    nativeBinding,
    clock,
  }: { directory: string; nativeBinding: string | undefined; clock: Clock },
): Promise<void> {
  const toOtherApi = before.api_url !== undefined && before.api_url !== now.api_url
  const isOther =
    toOtherApi || (before.client_id !== undefined && before.client_id !== now.client_id)
  if (!isOther) return
  await keepCopy('client-change', directory, nativeBinding)
  await store.setMeta({ owner_change: JSON.stringify(now) })
  const reason = toOtherApi
    ? `it was connected at ${before.api_url}, and this broker now works with ${now.api_url}`
    : 'it was connected for another OAuth client of Ellipsis Drive than this broker now uses'
  let after: string | null = null
  do {
    after = await store.markConnectionsForReconnect({ after, limit: BATCH, toOtherApi, reason })
  } while (after !== null)
  const details = toOtherApi ? `${before.api_url} to ${now.api_url}` : `to client ${now.client_id}`
  await store.addEvents([{ at: clock.now(), actor: 'cli', action: 'client.changed', details }])
}
