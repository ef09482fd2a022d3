import { and, eq, gt, isNull, sql } from 'drizzle-orm'
import { deviceCodes, grants } from './schema.ts'
import type { DeviceCodeStore } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'

/** A clock's and a network's unevenness, which no program is blamed for, milliseconds. */
const SLACK = 500

/** Programs without a browser that wait for a person. */
export function deviceCodeMethods(engine: Engine): DeviceCodeStore {
  const { db, read, write, writeFleeting } = engine
  const get = db
    .select()
    .from(deviceCodes)
    .where(eq(deviceCodes.deviceCodeHash, sql.placeholder('deviceCodeHash')))
    .prepare()
  const pending = (deviceCodeHash: string, now: number) =>
    and(
      eq(deviceCodes.deviceCodeHash, deviceCodeHash),
      eq(deviceCodes.status, 'pending'),
      gt(deviceCodes.expiresAt, now),
    )

  return {
    addDeviceCode: (code) =>
      write(() => db.insert(deviceCodes).values(code).onConflictDoNothing().run().changes === 1),

    getDeviceCode: (deviceCodeHash) => read(() => get.get({ deviceCodeHash })),

    findDeviceCode: ({ userCodeHash, now }) =>
      read(() => {
        const own = and(
          eq(deviceCodes.userCodeHash, userCodeHash),
          eq(deviceCodes.status, 'pending'),
          gt(deviceCodes.expiresAt, now),
        )
        return db.select().from(deviceCodes).where(own).get()
      }),

    pollDeviceCode: ({ deviceCodeHash, now, penalty }) =>
      writeFleeting(() => {
        const where = pending(deviceCodeHash, now)
        const code = db.select().from(deviceCodes).where(where).get()
        if (!code) return false
        const wait = code.intervalSeconds * 1000 - SLACK
        const tooSoon = code.polledAt !== null && now - code.polledAt < wait
        const intervalSeconds = code.intervalSeconds + (tooSoon ? penalty : 0)
        db.update(deviceCodes).set({ polledAt: now, intervalSeconds }).where(where).run()
        return tooSoon
      }),

    approveDeviceCode: ({ deviceCodeHash, connectionId, now, events }) =>
      write(() => {
        const approval = { status: 'approved', connectionId } as const
        const where = pending(deviceCodeHash, now)
        if (db.update(deviceCodes).set(approval).where(where).run().changes === 0) return false
        insertEvents(engine, events)
        return true
      }),

    denyDeviceCode: ({ deviceCodeHash, now }) =>
      write(() => {
        const where = pending(deviceCodeHash, now)
        return db.update(deviceCodes).set({ status: 'denied' }).where(where).run().changes === 1
      }),

    redeemDeviceCode: ({ deviceCodeHash, now, grant, events }) =>
      write(() => {
        const unused = and(
          eq(deviceCodes.deviceCodeHash, deviceCodeHash),
          eq(deviceCodes.status, 'approved'),
          isNull(deviceCodes.usedAt),
          gt(deviceCodes.expiresAt, now),
        )
        const use = { usedAt: now, grantId: grant.id }
        if (db.update(deviceCodes).set(use).where(unused).run().changes === 0) return false
        db.insert(grants).values(grant).run()
        insertEvents(engine, events)
        return true
      }),
  }
}
