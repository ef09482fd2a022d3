import type { Connection, ConnectionFilter, Store } from '../../db/store.ts'
import { EllipsisError } from '../ellipsis/errors.ts'
import type { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'

/** Was this connection imported, and has no refresh worked yet? Then it has no grants. */
export const isPendingImport = ({ status, importState }: Connection): boolean =>
  status !== 'revoked' && importState === 'pending'

/** The action of events of connections that an import ended: refused or duplicate ones, which never served an app. */
export const IMPORT_ENDED = 'connection.import_ended'

/** Why an import ends a connection. */
export const REJECTIONS = {
  tokenRejected: 'Ellipsis Drive rejected this refresh token',
  clientRejected: 'Ellipsis Drive rejected the broker’s own client',
  clientChanged: 'it was imported for another OAuth client or API, and never verified',
}

/** Why a token could be neither verified nor rejected. */
export function describeFailure({ code, cause }: BrokerError): string {
  if (code === 'connection_revoked') return 'it was revoked here in the meantime'
  if (cause instanceof EllipsisError && cause.kind === 'refused') {
    return 'Ellipsis Drive rejects one token after another, which may have another cause; run the import again'
  }
  return `${(cause as Error).message}; run the import again`
}

/** Ends a pending connection, which is then in no list. Its token can be imported again. */
export function rejectPendingImport(
  store: Store,
  clock: Clock,
  id: string,
  why: keyof typeof REJECTIONS,
) {
  const at = clock.now()
  const event = { at, actor: 'cli', action: IMPORT_ENDED, connectionId: id }
  return store.revokeConnection({
    id,
    now: at,
    why: { importState: 'rejected' },
    events: [{ ...event, details: REJECTIONS[why] }],
  })
}

/** Deletes a rejected connection and all its rows. `false`: the erasure of its tokens is still pending. */
export async function removeRejectedImport(
  store: Store,
  clock: Clock,
  id: string,
): Promise<boolean> {
  const purged = await store.purge({ now: clock.now(), limit: 1, connectionId: id })
  return purged === 'done' && store.removeConnection(id)
}

const UNREVOKED: ConnectionFilter = {
  search: null,
  statuses: ['active', 'needs_reconnect'],
  appId: null,
}

/** The ids of all unrevoked connections if all of them are pending imports; otherwise `null`. */
export async function listIfAllPending(store: Store): Promise<string[] | null> {
  const found: string[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<Store['walkConnections']>> = await store.walkConnections(
      UNREVOKED,
      cursor,
    )
    const rows = await Promise.all(page.rows.map(({ id }) => store.getConnection(id)))
    const live = rows.flatMap((row) => (row && row.status !== 'revoked' ? [row] : []))
    if (!live.every(isPendingImport)) return null
    found.push(...live.map(({ id }) => id))
    cursor = page.next
  } while (cursor !== null)
  return found
}
