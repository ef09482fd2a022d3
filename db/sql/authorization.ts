import { isDeepStrictEqual } from 'node:util'
import { and, eq, gt, sql, type SQL } from 'drizzle-orm'
import { codes, deviceCodes, dpopProofs, usedStates } from './schema.ts'
import type { AuthorizationStore, DeviceCode, Millis } from '../store.ts'
import { isOneOf, type Engine } from './engine.ts'
import { insertEvents } from './events.ts'

/** Authorizations in progress: used states, codes, device codes; and DPoP proofs. */
export function authorizationMethods(engine: Engine): AuthorizationStore {
  const { client, db, read, write, writeFleeting } = engine
  const getCode = db
    .select()
    .from(codes)
    .where(eq(codes.codeHash, sql.placeholder('codeHash')))
    .prepare()
  const addProof = db
    .insert(dpopProofs)
    .values({ proofHash: sql.placeholder('proofHash'), expiresAt: sql.placeholder('expiresAt') })
    .onConflictDoNothing()
    .prepare()

  /** As SQLite's partial index has it. */
  const isUnapproved = sql`${deviceCodes.status} <> 'approved'`
  const isWaiting = (now: Millis) => and(isUnapproved, gt(deviceCodes.expiresAt, now))
  const waiting = `select count(*) from device_codes indexed by device_codes_unapproved
    where status <> 'approved' and expires_at > @now`
  const countAllWaiting = client.prepare<object, number>(waiting).pluck()
  const countWaiting = client
    .prepare<object, number>(`${waiting} and app_id = @appId and network = @network`)
    .pluck()

  const findDeviceCode = (where: SQL): DeviceCode | undefined =>
    db.select().from(deviceCodes).where(where).get()

  return {
    useState: (state) =>
      writeFleeting(() => {
        const added = db.insert(usedStates).values(state).onConflictDoNothing().run()
        return added.changes === 1
      }),

    listUsedStates: (stateHashes) =>
      read(() => {
        const { stateHash } = usedStates
        const used = db
          .select({ stateHash })
          .from(usedStates)
          .where(isOneOf(stateHash, stateHashes))
        return used.all().map((row) => row.stateHash)
      }),

    getCode: (codeHash) => read(() => getCode.get({ codeHash })),

    addDeviceCode: (code, { maxOfNetwork, max }) =>
      writeFleeting(() => {
        const { appId, network, createdAt } = code
        const ofNetwork = countWaiting.get({ now: createdAt, appId, network }) ?? 0
        if (ofNetwork >= (maxOfNetwork ?? Infinity)) return 'network_full'
        if ((countAllWaiting.get({ now: createdAt }) ?? 0) >= max) return 'full'
        const added = db.insert(deviceCodes).values(code).onConflictDoNothing().run()
        return added.changes === 1 ? 'added' : 'user_code_taken'
      }),

    listWaitingDeviceCodes: (now) =>
      read(() => {
        const { deviceCodeHash, address, network, createdAt } = deviceCodes
        const columns = { deviceCodeHash, address, network, createdAt }
        return db.select(columns).from(deviceCodes).where(isWaiting(now)).all()
      }),

    removeDeviceCodes: (deviceCodeHashes) =>
      writeFleeting(() => {
        const own = isOneOf(deviceCodes.deviceCodeHash, deviceCodeHashes)
        db.delete(deviceCodes).where(and(own, isUnapproved)).run()
      }),

    getDeviceCode: (key) =>
      read(() =>
        findDeviceCode(
          'deviceCodeHash' in key
            ? eq(deviceCodes.deviceCodeHash, key.deviceCodeHash)
            : eq(deviceCodes.userCodeHash, key.userCodeHash),
        ),
      ),

    updateDeviceCode: (before, after, events) => {
      // Programs poll every few seconds: that alone waits for no disk.
      const run = after.status === before.status ? writeFleeting : write
      return run(() => {
        const own = eq(deviceCodes.deviceCodeHash, before.deviceCodeHash)
        if (!isDeepStrictEqual(findDeviceCode(own), before)) return false
        db.update(deviceCodes).set(after).where(own).run()
        insertEvents(engine, events)
        return true
      })
    },

    useProof: (proof) => writeFleeting(() => addProof.run(proof).changes === 1),
  }
}
