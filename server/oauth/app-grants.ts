import type { App, ConnectionStatus, Grant, ListedGrant, Millis, Store } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import { readDrivePath } from '../drive/path.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import { isAllowed } from './access-policy.ts'
import { checkExternalId } from './external-id.ts'
import { grantEndSeconds } from './grants.ts'
import { PROFILE, PROJECTS, includesScope } from './scope.ts'
import { reconnectUrl } from './token-authentication.ts'

/** A grant, as its app sees it. */
export interface AppGrant {
  grant: Grant
  /** Empty: unknown, or the user did not allow the app to read it. */
  username: string
  /** `revoked` also once the app's grant lifetime is over. */
  status: ConnectionStatus
  /** Where the user can connect again; `null`: no need to, or the app has no redirect URI. */
  reconnectUrl: string | null
}

/** An offline app's own grants. Another app's grant is like one that does not exist. */
export interface AppGrants {
  /**
   * Grants by id. A grant that exists all the time is on exactly one page.
   * @param query.after `next` of another page; `null`: the first page
   * @returns with a status, maybe fewer than `limit` although there are more: only `next` `null` is the end
   */
  list(
    app: App,
    query: {
      externalId: string | null
      status: ConnectionStatus | null
      after: string | null
      limit: number
    },
  ): Promise<{ grants: AppGrant[]; next: string | null }>
  /** @throws BrokerError `grant_not_found` */
  get(app: App, id: string): Promise<AppGrant>
  /** Sets the app's own id of the user; `null`: none. @throws BrokerError `grant_not_found`, `invalid_request`, `slow_down` */
  setExternalId(
    app: App,
    id: string,
    change: { externalId: string | null; address: string },
  ): Promise<AppGrant>
  /** Revokes a grant, or does nothing if it is revoked already. @throws BrokerError `grant_not_found` */
  revoke(app: App, id: string, address: string): Promise<void>
}

const HOUR_MS = 3_600_000
/** Of one grant in an hour. */
const MAX_EXTERNAL_ID_CHANGES = 20

/** Grants that are read at a time while looking for a status: a few milliseconds of the event loop. */
const BATCH_SIZE = 500
/** Grants that one request reads. */
const MAX_READ = 20_000

export function createAppGrants(deps: {
  store: Store
  clock: Clock
  publicUrl: string
}): AppGrants {
  const { store, clock, publicUrl } = deps

  const describe = (app: App, { grant, connection }: ListedGrant): AppGrant => {
    const status = statusOf(app, { grant, connection }, clock.now())
    const canReconnect = status !== 'active' && app.redirectUris.length > 0
    return {
      grant,
      username: mayKnowName(app, grant) ? connection.username : '',
      status,
      reconnectUrl: canReconnect ? reconnectUrl(publicUrl, app, grant.connectionId) : null,
    }
  }

  /** Each change is in the audit log. @throws BrokerError `slow_down` */
  const takeChange = async (id: string): Promise<void> => {
    const now = clock.now()
    const key = sha256(`external_id ${id}`)
    const budgets = [{ key, most: MAX_EXTERNAL_ID_CHANGES, until: now + HOUR_MS }]
    const { refusedUntil } = await store.takeAttempt({ budgets, now })
    if (refusedUntil === null) return
    const retryAfter = Math.ceil((refusedUntil - now) / 1000)
    const description = 'The external id of this grant was changed too often. Try again later.'
    const reason = 'external_id_changed_often'
    throw new BrokerError('slow_down', { description, retryAfter, reason })
  }

  const getOwn = async (app: App, id: string): Promise<ListedGrant> => {
    const grant = await store.getGrant(id)
    const connection =
      grant?.appId === app.id ? await store.getConnection(grant.connectionId) : undefined
    if (!grant || !connection) throw new BrokerError('grant_not_found')
    return { grant, connection }
  }

  return {
    async list(app, { externalId, status, after, limit }) {
      const found: AppGrant[] = []
      const size = status === null ? limit + 1 : Math.max(limit + 1, BATCH_SIZE)
      let last = after
      for (let read = 0; read < MAX_READ; read += size) {
        const page = { appId: app.id, externalId, after: last, limit: size }
        const rows = await store.listGrantsOfApp(page)
        for (const row of rows) {
          if (found.length === limit) return { grants: found, next: last }
          last = row.grant.id
          const described = describe(app, row)
          if (status === null || described.status === status) found.push(described)
        }
        if (rows.length < size) return { grants: found, next: null }
      }
      return { grants: found, next: last }
    },

    get: async (app, id) => describe(app, await getOwn(app, id)),

    async setExternalId(app, id, { externalId, address }) {
      if (externalId !== null) checkExternalId(externalId, app)
      const { grant, connection } = await getOwn(app, id)
      if (grant.externalId === externalId) return describe(app, { grant, connection })
      await takeChange(id)
      const action = externalId === null ? 'grant.external_id_removed' : 'grant.external_id_set'
      const events = [{ ...eventOf(grant, clock.now()), action, address }]
      if (!(await store.setExternalId({ grantId: id, appId: app.id, externalId, events }))) {
        throw new BrokerError('grant_not_found')
      }
      return describe(app, { grant: { ...grant, externalId }, connection })
    },

    async revoke(app, id, address) {
      const { grant } = await getOwn(app, id)
      const now = clock.now()
      const details = 'revoked by the app'
      const events = [{ ...eventOf(grant, now), action: 'grant.revoked', address, details }]
      await store.revokeGrants({ id, now, events })
    },
  }
}

/** Where Ellipsis Drive tells an account's name. */
const ACCOUNT_PATH = readDrivePath('/account')

/** Did the user allow the name, or requests that tell it? */
const mayKnowName = (app: App, { scope, policy }: Grant): boolean =>
  includesScope(scope, PROFILE) ||
  (includesScope(scope, PROJECTS) && isAllowed({ app, granted: policy }, 'GET', ACCOUNT_PATH))

const eventOf = ({ id, appId, connectionId }: Grant, at: Millis) => ({
  ...{ at, actor: 'app', appId, connectionId },
  grantId: id,
})

function statusOf(app: App, { grant, connection }: ListedGrant, now: Millis): ConnectionStatus {
  if (grant.revokedAt !== null || grantEndSeconds(grant, app) * 1000 <= now) return 'revoked'
  return connection.status
}
