import { deleteWhere, isSame, isUnrevoked, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  'addApp' | 'getApp' | 'listApps' | 'updateApp' | 'hasOrigin' | 'revokeGrantsOfRemovedApps'

export const appRules = (tables: Tables): Answering<Methods> => ({
  addApp(app, events) {
    tables.apps.set(app.id, app)
    writeEvents(tables, events)
  },

  getApp: (id) => tables.apps.get(id),

  listApps: () => sortBy(tables.apps.values(), ({ id }) => id),

  updateApp(before, after, events) {
    if (!isSame(tables.apps.get(before.id), before)) return false
    if (after === null) {
      tables.apps.delete(before.id)
      deleteWhere(tables.codes, ({ appId }) => appId === before.id)
      deleteWhere(tables.deviceCodes, ({ appId }) => appId === before.id)
    } else tables.apps.set(before.id, after)
    writeEvents(tables, events)
    return true
  },

  hasOrigin: ({ origin, anyPortOf, session }) =>
    [...tables.apps.values()]
      .filter((app) => session === undefined || app.session === session)
      .flatMap(({ origins }) => origins)
      .some((one) => one === origin || (anyPortOf !== null && withoutPort(one) === anyPortOf)),

  revokeGrantsOfRemovedApps({ now, limit }) {
    const orphans = [...tables.grants.values()].filter(
      (grant) => isUnrevoked(grant) && !tables.apps.has(grant.appId),
    )
    const connectionIds = new Set(orphans.map(({ connectionId }) => connectionId))
    const batch = [...connectionIds].slice(0, limit)
    for (const grant of orphans)
      if (batch.includes(grant.connectionId))
        tables.grants.set(grant.id, { ...grant, revokedAt: now })
    return batch.length
  },
})

const withoutPort = (origin: string): string => origin.replace(/:\d+$/, '')
