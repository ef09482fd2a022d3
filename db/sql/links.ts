import { and, count, desc, eq, getTableColumns, gt, isNull } from 'drizzle-orm'
import type { LinkState, LinkStore, Millis } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { swapStateQuery, toSwapState } from './grants.ts'
import { grants, links } from './schema.ts'

const { secretHash: _secretHash, ...linkColumns } = getTableColumns(links)
const listed = { ...linkColumns, appId: grants.appId, connectionId: grants.connectionId }

/** One statement, as every request with a link runs it: a map asks for many tiles at once. */
const LINK_STATE_QUERY = `
  select id, path, is_prefix as isPrefix, expires_at as expiresAt, grant_id as grantId,
    (${swapStateQuery('null', 'links.grant_id')}) as state
  from links where secret_hash = ?`

interface StateRow {
  id: string
  path: string
  isPrefix: 0 | 1
  expiresAt: number
  grantId: string
  state: string
}

/** Links that still give access: their grants have not ended before them. */
const isLive = (now: Millis) =>
  and(
    gt(links.expiresAt, now),
    isNull(grants.revokedAt),
    gt(grants.expiresAtSeconds, Math.floor(now / 1000)),
  )

export function linkMethods(engine: Engine): LinkStore {
  const { client, db, read, readTogether, write } = engine
  const findState = client.prepare<[string], StateRow>(LINK_STATE_QUERY)
  const ofGrants = () =>
    db.select(listed).from(links).innerJoin(grants, eq(grants.id, links.grantId))

  return {
    addLink: (link, { max, events }) =>
      write(() => {
        const live = and(eq(grants.id, link.grantId), isNull(grants.revokedAt))
        const grant = db.select().from(grants).where(live).get()
        if (!grant) return 'ended'
        const { connectionId, appId } = grant
        const own = and(eq(grants.connectionId, connectionId), eq(grants.appId, appId))
        const existing = db
          .select({ count: count() })
          .from(links)
          .innerJoin(grants, eq(grants.id, links.grantId))
          .where(and(own, isLive(link.createdAt)))
          .get()
        if ((existing?.count ?? 0) >= max) return 'full'
        db.insert(links).values(link).run()
        insertEvents(engine, events)
        return 'added'
      }),

    getLink: (id) => read(() => ofGrants().where(eq(links.id, id)).get()),

    listLinks: ({ connectionId, appId, now }) =>
      read(() => {
        const app = appId === undefined ? undefined : eq(grants.appId, appId)
        const own = and(eq(grants.connectionId, connectionId), app, isLive(now))
        return ofGrants().where(own).orderBy(desc(links.createdAt), desc(links.id)).all()
      }),

    deleteLink: (id, events) =>
      write(() => {
        const isDeleted = db.delete(links).where(eq(links.id, id)).run().changes === 1
        if (isDeleted) insertEvents(engine, events)
        return isDeleted
      }),

    getLinkState: (secretHash) =>
      readTogether((): LinkState | undefined => {
        const row = findState.get(secretHash)
        if (!row) return undefined
        const { id, path, isPrefix, expiresAt, grantId, state } = row
        const { grant, app, connection } = toSwapState(grantId, state.split('\n'))
        return { link: { id, path, isPrefix: isPrefix === 1, expiresAt }, grant, app, connection }
      }),
  }
}
