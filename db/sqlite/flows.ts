import { and, eq, getTableColumns, gt, isNull, sql, type SQL } from 'drizzle-orm'
import { codes, flows, grants } from './schema.ts'
import type { Sealed, Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { insertEvents } from './events.ts'
import { bytesOf, type SealedValues } from './sealed.ts'

type Methods = 'addFlow' | 'takeFlow' | 'getCode' | 'redeemCode'

/** Authorizations under way, and the codes that they end in. */
export function flowMethods(engine: Engine, sealedValues: SealedValues): Pick<Store, Methods> {
  const { db, read, write } = engine
  const getCode = db
    .select()
    .from(codes)
    .where(eq(codes.codeHash, sql.placeholder('codeHash')))
    .prepare()

  return {
    addFlow: (flow) =>
      write(() => {
        const verifier = sealedValues.add(flow.verifier)
        db.insert(flows)
          .values({ ...flow, verifier })
          .run()
      }),

    takeFlow: ({ stateHash, browserHash, now }) =>
      write(() => {
        const own = and(
          eq(flows.stateHash, stateHash),
          eq(flows.browserHash, browserHash),
          gt(flows.expiresAt, now),
        )
        const columns = { ...getTableColumns(flows), verifier: bytesOf<Sealed>(flows.verifier) }
        const flow = db.select(columns).from(flows).where(own).get()
        if (!flow) return undefined
        deleteFlows(engine, sealedValues, own)
        return flow
      }),

    getCode: (codeHash) => read(() => getCode.get({ codeHash })),

    redeemCode: ({ codeHash, now, grant, events }) =>
      write(() => {
        const unused = and(
          eq(codes.codeHash, codeHash),
          isNull(codes.usedAt),
          gt(codes.expiresAt, now),
        )
        const use = { usedAt: now, grantId: grant.id }
        if (db.update(codes).set(use).where(unused).run().changes === 0) return false
        db.insert(grants).values(grant).run()
        insertEvents(engine, events)
        return true
      }),
  }
}

/** Deletes flows, within the transaction under way; overwrites their verifiers. Answers how many went. */
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
