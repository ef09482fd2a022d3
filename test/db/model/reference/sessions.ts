import type { Admin, Session } from '../../../../db/store.ts'
import { adminOf } from './admins.ts'
import { pick } from './grants.ts'
import { deleteWhere, isSame, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'addSession'
  | 'getSession'
  | 'touchSession'
  | 'listSessions'
  | 'endSessions'
  | 'endOidcSessions'
  | 'isDevice'
  | 'takeAttempt'
  | 'returnAttempt'

export const sessionRules = (tables: Tables): Answering<Methods> => {
  const { sessions, devices, attempts } = tables

  return {
    addSession(session, { verified, replaces, device, events }) {
      const admin = adminOf(tables, session.adminId)
      const names = Object.keys(verified) as (keyof typeof verified)[]
      if (!admin || !isSame(pick(admin, ...names), verified)) return false
      if (replaces !== undefined && !sessions.delete(replaces)) return false
      sessions.set(session.idHash, session)
      if (device) {
        const { secretHash, expiresAt } = device
        devices.set(secretHash, { adminId: session.adminId, expiresAt })
      }
      writeEvents(tables, events)
      return true
    },

    getSession({ idHash, now }) {
      const session = sessions.get(idHash)
      if (!session || session.expiresAt <= now) return undefined
      return { session, admin: adminOf(tables, session.adminId) as Admin }
    },

    touchSession({ idHash, lastSeenAt, expiresAt }) {
      const session = sessions.get(idHash)
      if (session) sessions.set(idHash, { ...session, lastSeenAt, expiresAt })
    },

    listSessions: ({ adminId, now }) =>
      sortBy(
        [...sessions.values()].filter(
          (session) => session.adminId === adminId && session.complete && session.expiresAt > now,
        ),
        ({ lastSeenAt }) => -lastSeenAt,
      ),

    endSessions({ adminId, events, ...which }) {
      const isMeant = ({ idHash }: Session): boolean =>
        'only' in which ? idHash === which.only : idHash !== which.except
      const ended = deleteWhere(
        sessions,
        (session) => session.adminId === adminId && isMeant(session),
      )
      if (ended > 0) writeEvents(tables, events)
      return ended
    },

    endOidcSessions({ issuer, subject, sid }, event) {
      const isMeant = (session: Session): boolean =>
        session.oidcIssuer === issuer &&
        (subject === null || session.oidcSubject === subject) &&
        (sid === null || session.oidcSid === sid)
      const adminIds = new Set([...sessions.values()].filter(isMeant).map(({ adminId }) => adminId))
      for (const id of adminIds)
        writeEvents(tables, [{ ...event, details: tables.admins.get(id)?.email ?? null }])
      return deleteWhere(sessions, isMeant)
    },

    isDevice({ secretHash, adminId, now }) {
      const device = devices.get(secretHash)
      return device?.adminId === adminId && device.expiresAt > now
    },

    takeAttempt({ budgets, now }) {
      const counts = budgets.map(({ key, most, until }) => {
        const known = attempts.get(key)
        const current = known && known.until > now ? known : { count: 0, until }
        return { key, most, ...current }
      })
      const usedUp = counts.filter(({ count, most }) => count >= most)
      if (usedUp.length > 0) {
        const refusedUntil = Math.max(...usedUp.map(({ until }) => until))
        return { refusedUntil, wasLast: false }
      }
      for (const { key, count, until } of counts) attempts.set(key, { count: count + 1, until })
      return { refusedUntil: null, wasLast: counts.some(({ count, most }) => count + 1 === most) }
    },

    returnAttempt(keys, cleared = []) {
      for (const key of keys) {
        const known = attempts.get(key)
        if (known) attempts.set(key, { ...known, count: Math.max(0, known.count - 1) })
      }
      for (const key of cleared) attempts.delete(key)
    },
  }
}
