import type { Grant, Link, ListedLink, Millis } from '../../../../db/store.ts'
import { pick, swapState } from './grants.ts'
import { isUnrevoked, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods = 'addLink' | 'getLink' | 'listLinks' | 'deleteLink' | 'getLinkState'

export const linkRules = (tables: Tables): Answering<Methods> => {
  const grantOf = (link: Link): Grant => tables.grants.get(link.grantId) as Grant
  const isLive = (link: Link, at: Millis): boolean =>
    link.expiresAt > at && isUnrevoked(grantOf(link)) && grantOf(link).expiresAtSeconds * 1000 > at
  const listed = ({ secretHash, ...link }: Link & { secretHash: string }): ListedLink => ({
    ...link,
    ...pick(grantOf({ ...link, secretHash }), 'appId', 'connectionId'),
  })
  /** The live ones of an app on a connection; `appId` `undefined`: of all apps. */
  const liveLinks = (connectionId: string, appId: string | undefined, at: Millis): Link[] =>
    [...tables.links.values()].filter((link) => {
      const grant = grantOf(link)
      const isOfApp = appId === undefined || grant.appId === appId
      return isOfApp && grant.connectionId === connectionId && isLive(link, at)
    })

  return {
    addLink(link, { max, events }) {
      const grant = tables.grants.get(link.grantId)
      if (!grant || !isUnrevoked(grant)) return 'ended'
      if (liveLinks(grant.connectionId, grant.appId, link.createdAt).length >= max) return 'full'
      tables.links.set(link.id, link)
      writeEvents(tables, events)
      return 'added'
    },

    getLink(id) {
      const link = tables.links.get(id)
      return link && listed(link)
    },

    listLinks: ({ connectionId, appId, now }) =>
      sortBy(liveLinks(connectionId, appId, now), ({ createdAt }) => -createdAt).map(listed),

    deleteLink(id, events) {
      if (!tables.links.delete(id)) return false
      writeEvents(tables, events)
      return true
    },

    getLinkState(secretHash) {
      const link = [...tables.links.values()].find((one) => one.secretHash === secretHash)
      const state = link && swapState(tables, link.grantId)
      return state && { ...state, link: pick(link, 'id', 'path', 'isPrefix', 'expiresAt') }
    },
  }
}
