import type { Store } from '../../db/store.ts'
import { SUBJECT_KEY } from '../oauth/account-subject.ts'
import type { Clock } from '../runtime.ts'

/** The OAuth client and the Ellipsis Drive API that the connections belong to. */
export interface Owner {
  client_id: string
  api_url: string
}

/** Connections marked per transaction. */
const BATCH_SIZE = 500

/**
 * Assigns the data to another client or API. Every connection becomes `needs_reconnect`, with the reason.
 * With another API, connections also lose their accounts and tokens: the same id may be another person
 * there, and a token must not be sent to it. First keeps a copy of the store. After an interruption, start
 * again with the same flag: the recorded owner changes last.
 */
export async function changeOwner(
  store: Store,
  before: Partial<Owner>,
  now: Owner,
  { keepCopy, clock }: { keepCopy: () => Promise<void>; clock: Clock },
): Promise<void> {
  const toOtherApi = before.api_url !== undefined && before.api_url !== now.api_url
  const isOther =
    toOtherApi || (before.client_id !== undefined && before.client_id !== now.client_id)
  if (!isOther) return
  await keepCopy()
  // The same account id may be another person there, who must not get the same subject.
  const subjectKey = toOtherApi ? { [SUBJECT_KEY]: '' } : {}
  await store.setMeta({ owner_change: JSON.stringify(now), ...subjectKey })
  const reason = toOtherApi
    ? `it was connected at ${before.api_url}, and this broker now works with ${now.api_url}`
    : 'it was connected for another OAuth client of Ellipsis Drive than this broker now uses'
  let after: string | null = null
  do {
    after = await store.markConnectionsForReconnect({
      after,
      limit: BATCH_SIZE,
      toOtherApi,
      reason,
    })
  } while (after !== null)
  const details = toOtherApi ? `${before.api_url} to ${now.api_url}` : `to client ${now.client_id}`
  await store.addEvents([{ at: clock.now(), actor: 'cli', action: 'client.changed', details }])
}
