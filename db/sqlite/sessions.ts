import { and, desc, eq, getTableColumns, gt, inArray, ne, sql } from 'drizzle-orm'
import { admins, attempts, devices, sessions } from './schema.ts'
import type { Checked, Store } from '../store.ts'
import { adminColumns } from './admins.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'

type Methods =
  | 'addSession'
  | 'getSession'
  | 'touchSession'
  | 'listSessions'
  | 'endSession'
  | 'endOtherSessions'
  | 'isDevice'
  | 'takeAttempt'
  | 'returnAttempt'

/** Who is signed in, in which browsers, and how often others tried. */
export function sessionMethods(engine: Engine): Pick<Store, Methods> {
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

  /** Is the admin still there, and what signing in was checked against still so? */
  const stands = (id: string, checked: Checked): boolean => {
    const admin = db.select(adminColumns).from(admins).where(eq(admins.id, id)).get()
    return (
      admin?.passwordHash === checked.passwordHash &&
      admin.secondFactorSince === checked.secondFactorSince
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
    addSession: (session, { checked, replaces, device, events }) =>
      write(() => {
        if (!stands(session.adminId, checked)) return false
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

    endSession: ({ idHash, adminId, events }) =>
      write(() => {
        const own = and(eq(sessions.idHash, idHash), eq(sessions.adminId, adminId))
        if (db.delete(sessions).where(own).run().changes === 0) return false
        insertEvents(engine, events)
        return true
      }),

    endOtherSessions: ({ adminId, keep, events }) =>
      write(() => {
        const others = and(eq(sessions.adminId, adminId), ne(sessions.idHash, keep))
        const { changes } = db.delete(sessions).where(others).run()
        if (changes > 0) insertEvents(engine, events)
        return changes
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

    returnAttempt: (keys) =>
      write(() => {
        const counted = and(inArray(attempts.key, keys), gt(attempts.count, 0))
        db.update(attempts)
          .set({ count: sql`${attempts.count} - 1` })
          .where(counted)
          .run()
      }),
  }
}
