import { and, asc, eq, ne, sql } from 'drizzle-orm'
import { admins, devices, sessions, setupLinks } from './schema.ts'
import type { AdminChange, NewEvent, Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import type { SealedValues } from './sealed.ts'

type Methods =
  | 'addAdmin'
  | 'addFirstAdmin'
  | 'listAdmins'
  | 'findAdmin'
  | 'setAdminPassword'
  | 'setAdminRole'
  | 'removeAdmin'
  | 'addSetupLink'
  | 'hasSetupLink'

/** An admin's columns as the contract has them: what a second factor is made of stays out. */
export const adminColumns = {
  id: admins.id,
  email: admins.email,
  passwordHash: admins.passwordHash,
  role: admins.role,
  createdAt: admins.createdAt,
  secondFactorSince: admins.secondFactorSince,
}

export function adminMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { db, read, write } = engine
  const find = db
    .select(adminColumns)
    .from(admins)
    .where(eq(admins.email, sql.placeholder('email')))
    .prepare()
  const findAny = db.select({ id: admins.id }).from(admins).limit(1).prepare()
  const findLink = db
    .select({ hash: setupLinks.secretHash })
    .from(setupLinks)
    .where(
      sql`${setupLinks.secretHash} = ${sql.placeholder('secretHash')} and ${setupLinks.expiresAt} > ${sql.placeholder('now')}`,
    )
    .prepare()

  /** Is there another who may change things? */
  const hasOther = (email: string): boolean =>
    db
      .select({ id: admins.id })
      .from(admins)
      .where(and(eq(admins.role, 'admin'), ne(admins.email, email)))
      .get() !== undefined

  const hasSession = (adminId: string, idHash: string): boolean =>
    db
      .select({ id: sessions.idHash })
      .from(sessions)
      .where(and(eq(sessions.idHash, idHash), eq(sessions.adminId, adminId)))
      .get() !== undefined

  const isSetUp = ({ secretHash, now }: { secretHash: string; now: number }): boolean =>
    findAny.get() === undefined && findLink.get({ secretHash, now }) !== undefined

  /** Runs a change; its events are written if it took place. */
  const change = (work: () => { changes: number }, events: NewEvent[]): Promise<boolean> =>
    write(() => {
      if (work().changes === 0) return false
      insertEvents(engine, events)
      return true
    })

  return {
    addAdmin: (admin, events) => {
      const target = admins.email
      return change(
        () => db.insert(admins).values(admin).onConflictDoNothing({ target }).run(),
        events,
      )
    },

    addFirstAdmin: ({ admin, linkHash, now, events }) =>
      write(() => {
        if (!isSetUp({ secretHash: linkHash, now })) return false
        db.insert(admins).values(admin).run()
        db.delete(setupLinks).run()
        insertEvents(engine, events)
        return true
      }),

    listAdmins: () =>
      read(() => db.select(adminColumns).from(admins).orderBy(asc(admins.email)).all()),

    findAdmin: (email) => read(() => find.get({ email })),

    setAdminPassword: ({ email, passwordHash, keepSession }, events) =>
      write(() => {
        const admin = find.get({ email })
        if (!admin || (keepSession !== undefined && !hasSession(admin.id, keepSession)))
          return false
        db.update(admins).set({ passwordHash }).where(eq(admins.id, admin.id)).run()
        const others = keepSession === undefined ? undefined : ne(sessions.idHash, keepSession)
        db.delete(sessions)
          .where(and(eq(sessions.adminId, admin.id), others))
          .run()
        if (keepSession === undefined) db.delete(devices).where(eq(devices.adminId, admin.id)).run()
        insertEvents(engine, events)
        return true
      }),

    setAdminRole: ({ email, role }, events) =>
      write((): AdminChange => {
        if (!find.get({ email })) return 'none'
        if (role !== 'admin' && !hasOther(email)) return 'last'
        db.update(admins).set({ role }).where(eq(admins.email, email)).run()
        insertEvents(engine, events)
        return 'done'
      }),

    removeAdmin: ({ email, keepOne }, events) =>
      write((): AdminChange => {
        const admin = find.get({ email })
        if (!admin) return 'none'
        if (keepOne && !hasOther(email)) return 'last'
        const where = eq(admins.id, admin.id)
        const [removed] = db
          .delete(admins)
          .where(where)
          .returning({ secret: admins.secondFactor })
          .all()
        sealedValues.erase([removed?.secret ?? null])
        insertEvents(engine, events)
        return 'done'
      }),

    addSetupLink: (link) =>
      write(() => {
        if (findAny.get() !== undefined) return false
        db.insert(setupLinks).values(link).run()
        return true
      }),

    hasSetupLink: (link) => read(() => isSetUp(link)),
  }
}
