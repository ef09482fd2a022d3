import { isDeepStrictEqual } from 'node:util'
import { and, eq, getTableColumns, gt, inArray, sql, type SQL } from 'drizzle-orm'
import { codes, deviceCodes, dpopProofs, flows } from './schema.ts'
import type { AuthorizationStore, DeviceCode, Sealed } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { bytesOf, type SealedValues } from './sealed.ts'

/** Authorizations in progress: flows, codes, device codes; and DPoP proofs. */
export function authorizationMethods(
  engine: Engine,
  sealedValues: SealedValues,
): AuthorizationStore {
  const { db, read, write, writeFleeting } = engine
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

  const findDeviceCode = (where: SQL): DeviceCode | undefined =>
    db.select().from(deviceCodes).where(where).get()

  return {
    addFlow: (flow) =>
      write(() => {
        const verifier = sealedValues.add(flow.verifier)
        db.insert(flows)
          .values({ ...flow, verifier })
          .run()
      }),

    takeFlow: async ({ stateHash, browserHashes, now }) => {
      if (browserHashes.length === 0) return undefined
      return write(() => {
        const own = and(
          stateHash === null ? undefined : eq(flows.stateHash, stateHash),
          inArray(flows.browserHash, browserHashes),
          gt(flows.expiresAt, now),
        )
        const columns = { ...getTableColumns(flows), verifier: bytesOf<Sealed>(flows.verifier) }
        const [flow, another] = db.select(columns).from(flows).where(own).limit(2).all()
        if (!flow || another) return undefined
        deleteFlows(engine, sealedValues, own)
        return flow
      })
    },

    getCode: (codeHash) => read(() => getCode.get({ codeHash })),

    addDeviceCode: (code) =>
      write(() => db.insert(deviceCodes).values(code).onConflictDoNothing().run().changes === 1),

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

/** Deletes flows within the current transaction, and overwrites their verifiers. Returns how many. */
export function deleteFlows(
  { db }: Pick<Engine, 'db'>,
  sealedValues: SealedValues,
  where: SQL | undefined,
  limit = -1,
): number {
  const deleted = db.delete(flows).where(where).limit(limit).returning({ id: flows.verifier }).all()
  sealedValues.erase(deleted.map(({ id }) => id))
  return deleted.length
}
