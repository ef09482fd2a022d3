import { and, eq, isNotNull, isNull, lt, or } from 'drizzle-orm'
import { admins } from './schema.ts'
import type { NewEvent, Sealed, Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { bytesOf, type SealedValues } from './sealed.ts'

type Methods =
  | 'getSecondFactor'
  | 'proposeSecondFactor'
  | 'confirmSecondFactor'
  | 'useSecondFactor'
  | 'useRecoveryCode'
  | 'setRecoveryCodes'
  | 'dropSecondFactor'

export function secondFactorMethods(
  engine: Engine,
  sealedValues: SealedValues,
): Pick<Store, Methods> {
  const { db, read, write } = engine
  const { secondFactor, secondFactorSince, secondFactorStep, recoveryCodes } = admins

  const find = (adminId: string) =>
    db
      .select({
        secret: bytesOf<Sealed>(secondFactor),
        since: secondFactorSince,
        lastStep: secondFactorStep,
        recoveryCodes,
      })
      .from(admins)
      .where(and(eq(admins.id, adminId), isNotNull(secondFactor)))
      .get()

  const confirmed = (adminId: string) => and(eq(admins.id, adminId), isNotNull(secondFactorSince))

  /** Sets columns of one admin; events are written if the condition held. */
  const set = (
    values: Partial<typeof admins.$inferInsert>,
    where: ReturnType<typeof and>,
    events: NewEvent[],
  ): Promise<boolean> =>
    write(() => {
      if (db.update(admins).set(values).where(where).run().changes === 0) return false
      insertEvents(engine, events)
      return true
    })

  return {
    getSecondFactor: (adminId) => read(() => find(adminId)),

    proposeSecondFactor: ({ adminId, secret }) =>
      write(() => {
        const where = and(eq(admins.id, adminId), isNull(secondFactorSince))
        const admin = db.select({ id: secondFactor }).from(admins).where(where).get()
        if (!admin) return false
        const id = sealedValues.replace(admin.id, secret)
        db.update(admins).set({ secondFactor: id }).where(where).run()
        return true
      }),

    confirmSecondFactor: ({ adminId, step, recoveryCodes, now, events }) =>
      set(
        { secondFactorSince: now, secondFactorStep: step, recoveryCodes },
        and(eq(admins.id, adminId), isNotNull(secondFactor), isNull(secondFactorSince)),
        events,
      ),

    useSecondFactor: ({ adminId, step }) =>
      set(
        { secondFactorStep: step },
        and(confirmed(adminId), or(isNull(secondFactorStep), lt(secondFactorStep, step))),
        [],
      ),

    useRecoveryCode: ({ adminId, codeHash, events }) =>
      write(() => {
        const left = find(adminId)?.recoveryCodes
        if (!left?.includes(codeHash)) return false
        const recoveryCodes = left.filter((hash) => hash !== codeHash)
        db.update(admins).set({ recoveryCodes }).where(confirmed(adminId)).run()
        insertEvents(engine, events)
        return true
      }),

    setRecoveryCodes: ({ adminId, recoveryCodes, events }) =>
      set({ recoveryCodes }, confirmed(adminId), events),

    dropSecondFactor: ({ email, events }) =>
      write(() => {
        const where = and(eq(admins.email, email), isNotNull(secondFactor))
        const admin = db.select({ secret: secondFactor }).from(admins).where(where).get()
        if (!admin) return false
        const none = { secondFactor: null, secondFactorSince: null, secondFactorStep: null }
        db.update(admins)
          .set({ ...none, recoveryCodes: [] })
          .where(where)
          .run()
        sealedValues.erase([admin.secret])
        insertEvents(engine, events)
        return true
      }),
  }
}
