import { and, eq, isNull, sql } from 'drizzle-orm'
import { connections, grants, usage } from './schema.ts'
import type { Store } from '../store.ts'
import type { Engine } from './engine.ts'
import { prepareSwapState } from './swap-state.ts'
import { ALL_APPS } from './usage.ts'

type Methods = 'getSwapState' | 'useJti' | 'renewGrant' | 'recordUse'

/** A connection's last use is sorted by; one that is busy moves in its index once a minute. */
const MINUTE = 60_000

/** What swaps read and write. */
export function swapMethods({ client, db, read, write }: Engine): Pick<Store, Methods> {
  const getSwapState = prepareSwapState(client)
  const touchGrant = db
    .update(grants)
    .set({ lastUsedAt: sql`max(coalesce(${grants.lastUsedAt}, 0), ${sql.placeholder('at')})` })
    .where(eq(grants.id, sql.placeholder('id')))
    .prepare()
  const ofGrant = db
    .select({ id: grants.connectionId })
    .from(grants)
    .where(eq(grants.id, sql.placeholder('id')))
  const touchConnection = db
    .update(connections)
    .set({ lastUsedAt: sql`${sql.placeholder('at')}` })
    .where(
      and(
        eq(connections.id, sql`(${ofGrant})`),
        sql`coalesce(${connections.lastUsedAt}, 0) + ${MINUTE} <= ${sql.placeholder('at')}`,
      ),
    )
    .prepare()
  const addToCount = db
    .insert(usage)
    .values({
      appId: sql.placeholder('appId'),
      hour: sql.placeholder('hour'),
      kind: sql.placeholder('kind'),
      outcome: sql.placeholder('outcome'),
      count: sql.placeholder('count'),
    })
    .onConflictDoUpdate({
      target: [usage.appId, usage.hour, usage.kind, usage.outcome],
      set: { count: sql`${usage.count} + excluded.count` },
    })
    .prepare()

  return {
    getSwapState: (key) => read(() => getSwapState(key)),

    useJti: ({ grantId, jti, now }) =>
      write(() => {
        const unused = and(eq(grants.id, grantId), eq(grants.jti, jti), isNull(grants.jtiUsedAt))
        db.update(grants).set({ jtiUsedAt: now }).where(unused).run()
      }),

    renewGrant: ({ grantId, expectedJti, ...token }) =>
      write(() => {
        const own = and(eq(grants.id, grantId), isNull(grants.revokedAt))
        const renewal = { ...token, jtiUsedAt: null }
        const current = and(own, eq(grants.jti, expectedJti))
        return db.update(grants).set(renewal).where(current).run().changes === 1
      }),

    recordUse: (use) =>
      write(() => {
        for (const { id, lastUsedAt: at } of use.grants) {
          touchGrant.run({ id, at })
          touchConnection.run({ id, at })
        }
        for (const row of use.counts) {
          addToCount.run({ ...row, appId: ALL_APPS })
          if (row.appId !== null) addToCount.run({ ...row })
        }
      }),
  }
}
