import { isDeepStrictEqual } from 'node:util'
import { and, desc, eq, getTableColumns, gt, inArray, ne, sql } from 'drizzle-orm'
import { admins, attempts, devices, sessions } from './schema.ts'
import type { SessionStore, VerifiedAdmin } from '../store.ts'
import { adminColumns } from './admins.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'

/** Sessions of admins, the browsers they use, and counted sign-in attempts. */
export function sessionMethods(engine: Engine): SessionStore {
  const { db, read, write, writeFleeting } = engine
  const get = db
    .select({ session: getTableColumns(sessions), admin: adminColumns })
    .from(sessions)
    .innerJoin(admins, eq(admins.id, sessions.adminId))
    .where(
      and(
        eq(sessions.idHash, sql.placeholder('idHash')),
        gt(sessions.expiresAt, sql.placeholder('now')),
      ),
    )
    .prepare()

  /** Does the admin still have what was verified: password, second factor, passkeys, account at the provider? */
  const isUnchanged = (id: string, verified: VerifiedAdmin): boolean => {
    const admin = db.select(adminColumns).from(admins).where(eq(admins.id, id)).get()
    return (
      admin?.passwordHash === verified.passwordHash &&
      admin.secondFactorSince === verified.secondFactorSince &&
      admin.oidcIssuer === verified.oidcIssuer &&
      admin.oidcSubject === verified.oidcSubject &&
      isDeepStrictEqual(admin.passkeyIds, verified.passkeyIds)
    )
  }

  const remember = (device: { secretHash: string; expiresAt: number }, adminId: string): void => {
    const { secretHash, expiresAt } = device
    db.insert(devices)
      .values({ secretHash, expiresAt, adminId })
      .onConflictDoUpdate({ target: devices.secretHash, set: { adminId, expiresAt } })
      .run()
  }

  return {
    addSession: (session, { verified, replaces, device, events }) =>
      write(() => {
        if (!isUnchanged(session.adminId, verified)) return false
        if (replaces !== undefined) {
          const replaced = db.delete(sessions).where(eq(sessions.idHash, replaces)).run()
          if (replaced.changes === 0) return false
        }
        db.insert(sessions).values(session).run()
        if (device) remember(device, session.adminId)
        insertEvents(engine, events)
        return true
      }),

    getSession: (key) => read(() => get.get(key)),

    touchSession: ({ idHash, lastSeenAt, expiresAt }) =>
      writeFleeting(() => {
        const seen = { lastSeenAt, expiresAt }
        db.update(sessions).set(seen).where(eq(sessions.idHash, idHash)).run()
      }),

    listSessions: ({ adminId, now }) =>
      read(() =>
        db
          .select()
          .from(sessions)
          .where(
            and(
              eq(sessions.adminId, adminId),
              eq(sessions.complete, true),
              gt(sessions.expiresAt, now),
            ),
          )
          .orderBy(desc(sessions.lastSeenAt), desc(sessions.idHash))
          .all(),
      ),

    endSessions: ({ adminId, events, ...which }) =>
      write(() => {
        const isMeant =
          'only' in which ? eq(sessions.idHash, which.only) : ne(sessions.idHash, which.except)
        const meant = and(eq(sessions.adminId, adminId), isMeant)
        const { changes } = db.delete(sessions).where(meant).run()
        if (changes > 0) insertEvents(engine, events)
        return changes
      }),

    endOidcSessions: ({ issuer, subject, sid }, event) =>
      write(() => {
        const meant = and(
          eq(sessions.oidcIssuer, issuer),
          subject === null ? undefined : eq(sessions.oidcSubject, subject),
          sid === null ? undefined : eq(sessions.oidcSid, sid),
        )
        const ended = db
          .select({ email: admins.email })
          .from(sessions)
          .innerJoin(admins, eq(admins.id, sessions.adminId))
          .where(meant)
          .all()
        db.delete(sessions).where(meant).run()
        const emails = [...new Set(ended.map(({ email }) => email))]
        insertEvents(
          engine,
          emails.map((details) => ({ ...event, details })),
        )
        return ended.length
      }),

    isDevice: ({ secretHash, adminId, now }) =>
      read(() => {
        const own = and(
          eq(devices.secretHash, secretHash),
          eq(devices.adminId, adminId),
          gt(devices.expiresAt, now),
        )
        return db.select({ id: devices.adminId }).from(devices).where(own).get() !== undefined
      }),

    takeAttempt: ({ budgets, now }) =>
      write(() => {
        const keys = budgets.map(({ key }) => key)
        const counted = db
          .select()
          .from(attempts)
          .where(and(inArray(attempts.key, keys), gt(attempts.until, now)))
          .all()
        const used = new Map(counted.map((row) => [row.key, row]))
        const ends = budgets.flatMap(({ key, most }) => {
          const row = used.get(key)
          return row && row.count >= most ? [row.until] : []
        })
        if (ends.length > 0) return { refusedUntil: Math.max(...ends), wasLast: false }
        let wasLast = false
        for (const { key, most, until } of budgets) {
          const row = used.get(key)
          const next = row ? { count: row.count + 1, until: row.until } : { count: 1, until }
          wasLast ||= next.count === most
          db.insert(attempts)
            .values({ key, ...next })
            .onConflictDoUpdate({ target: attempts.key, set: next })
            .run()
        }
        return { refusedUntil: null, wasLast }
      }),

    returnAttempt: (keys, cleared = []) =>
      write(() => {
        const counted = and(inArray(attempts.key, keys), gt(attempts.count, 0))
        db.update(attempts)
          .set({ count: sql`${attempts.count} - 1` })
          .where(counted)
          .run()
        db.delete(attempts).where(inArray(attempts.key, cleared)).run()
      }),
  }
}
