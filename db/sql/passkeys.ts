import { isDeepStrictEqual } from 'node:util'
import { asc, eq, getTableColumns } from 'drizzle-orm'
import type { Passkey, PasskeyStore } from '../store.ts'
import { adminColumns } from './admins.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { admins, passkeys } from './schema.ts'

/** The passkeys of admins. */
export function passkeyMethods(engine: Engine): PasskeyStore {
  const { db, read, write } = engine

  const get = (id: string): Passkey | undefined =>
    db.select().from(passkeys).where(eq(passkeys.id, id)).get()

  const isUnchanged = (id: string, before: Passkey | null): boolean => {
    const stored = get(id)
    return before ? stored !== undefined && isSame(stored, before) : stored === undefined
  }

  const hasAdmin = (id: string): boolean =>
    db.select({ id: admins.id }).from(admins).where(eq(admins.id, id)).get() !== undefined

  return {
    listPasskeys: (adminId) =>
      read(() =>
        db
          .select()
          .from(passkeys)
          .where(eq(passkeys.adminId, adminId))
          .orderBy(asc(passkeys.createdAt), asc(passkeys.id))
          .all(),
      ),

    findPasskey: (id) =>
      read(() =>
        db
          .select({ passkey: getTableColumns(passkeys), admin: adminColumns })
          .from(passkeys)
          .innerJoin(admins, eq(admins.id, passkeys.adminId))
          .where(eq(passkeys.id, id))
          .get(),
      ),

    updatePasskey: (before, after, events) =>
      write(() => {
        const { id, adminId } = after ?? before ?? { id: '', adminId: '' }
        if (!isUnchanged(id, before) || !hasAdmin(adminId)) return false
        db.delete(passkeys).where(eq(passkeys.id, id)).run()
        if (after) db.insert(passkeys).values(after).run()
        insertEvents(engine, events)
        return true
      }),
  }
}

function isSame(one: Passkey, other: Passkey): boolean {
  const [{ publicKey: oneKey, ...rest }, { publicKey: otherKey, ...otherRest }] = [one, other]
  return Buffer.compare(oneKey, otherKey) === 0 && isDeepStrictEqual(rest, otherRest)
}
