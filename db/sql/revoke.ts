import { and, eq, isNull, sql } from 'drizzle-orm'
import { codes, connections, deviceCodes, grants } from './schema.ts'
import type { Millis, Store } from '../store.ts'
import { noTokens } from './connections.ts'
import { isOneOf, type Engine } from './engine.ts'
import { erasePeople } from './erase-person.ts'
import { insertEvents } from './events.ts'
import { noLease, unrevoked } from './refresh.ts'
import type { SealedValues } from './sealed.ts'

export function revokeMethods(
  engine: Engine,
  sealedValues: SealedValues,
): Pick<Store, 'revokeConnection'> {
  const { client, db, write } = engine
  const revokeConnection = prepareRevoke(engine, sealedValues)

  /** The connection, and revoked ones of the same account. */
  const findOfPerson = client
    .prepare<[object], string>(
      `select id from connections where id = @id union
      select id from connections where status = 'revoked'
        and account_id = (select account_id from connections where id = @id)`,
    )
    .pluck()

  /** Removes what identifies the person. The erasure is pending until the log is truncated. */
  const erasePerson = (id: string, now: Millis): boolean => {
    const ids = findOfPerson.all({ id })
    const known = and(isOneOf(connections.id, ids), isNull(connections.personErasedAt))
    const erased = { personErasedAt: now, erasedAt: null }
    if (db.update(connections).set(erased).where(known).run().changes === 0) return false
    erasePeople(client, ids)
    return true
  }

  return {
    revokeConnection: ({ id, now, erasePerson: isErasure = false, why, events }) =>
      write(() => {
        const wasRevoked = revokeConnection(id, now)
        if (wasRevoked && why) db.update(connections).set(why).where(eq(connections.id, id)).run()
        const hasChanged = isErasure ? erasePerson(id, now) : wasRevoked
        if (hasChanged) insertEvents(engine, events)
        return hasChanged
      }),
  }
}

/**
 * Prepares the revocation of a connection within the current transaction. It returns `false` if there is no
 * such connection, or it was revoked before.
 */
export function prepareRevoke(
  { db }: Pick<Engine, 'db'>,
  sealedValues: SealedValues,
): (id: string, now: Millis) => boolean {
  const id = sql.placeholder('id')
  const now = sql`${sql.placeholder('now')}`
  const find = db
    .select()
    .from(connections)
    .where(and(eq(connections.id, id), unrevoked))
    .prepare()
  const revoked = { status: 'revoked', revokedAt: now, retryAt: null } as const
  const revoke = db
    .update(connections)
    .set({
      ...{ ...revoked, ...noTokens, ...noLease },
      generation: sql`${connections.generation} + 1`,
    })
    .where(eq(connections.id, id))
    .prepare()
  const removeCodes = db.delete(codes).where(eq(codes.connectionId, id)).prepare()
  const removeDeviceCodes = db.delete(deviceCodes).where(eq(deviceCodes.connectionId, id)).prepare()
  const revokeGrants = db
    .update(grants)
    .set({ revokedAt: now })
    .where(and(eq(grants.connectionId, id), isNull(grants.revokedAt)))
    .prepare()

  return (id, now) => {
    const row = find.get({ id })
    if (!row) return false
    sealedValues.erase([row.refreshToken, row.previousRefreshToken, row.accessToken])
    removeCodes.run({ id })
    removeDeviceCodes.run({ id })
    // Before the status changes: the listing then has fewer rows to move.
    revokeGrants.run({ id, now })
    revoke.run({ id, now })
    return true
  }
}
