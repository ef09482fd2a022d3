import { and, eq, gt, gte, ne, sql } from 'drizzle-orm'
import { attempts, connections, grants, links, upstreamState, usage } from './schema.ts'
import type { Millis, UpstreamState, UsageStore } from '../store.ts'
import { mergeUpstream } from '../upstream-state.ts'
import { isOneOf, type Engine } from './engine.ts'

/** The `app_id` of the counts of all apps together. */
const ALL_APPS = ''

const NOTHING: UpstreamState = {
  answeredAt: null,
  failedAt: null,
  failingSince: null,
  lastError: null,
}

/** Connections are sorted by last use: a busy one moves in that index at most once a minute. */
const TOUCH_INTERVAL_MS = 60_000

export function usageMethods({ db, read, write, writeFleeting }: Engine): UsageStore {
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
        sql`coalesce(${connections.lastUsedAt}, 0) + ${TOUCH_INTERVAL_MS} <= ${sql.placeholder('at')}`,
      ),
    )
    .prepare()
  const touchLink = db
    .update(links)
    .set({
      lastUsedAt: sql`max(coalesce(${links.lastUsedAt}, 0), ${sql.placeholder('at')})`,
      uses: sql`${links.uses} + ${sql.placeholder('uses')}`,
    })
    .where(eq(links.id, sql.placeholder('id')))
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

  // A process whose clock is behind adds to the newer window: that refuses too much rather than too little.
  const addToCounter = db
    .insert(attempts)
    .values({
      key: sql.placeholder('key'),
      count: sql.placeholder('add'),
      until: sql.placeholder('until'),
    })
    .onConflictDoUpdate({
      target: attempts.key,
      set: {
        count: sql`excluded.count + case when ${attempts.until} >= excluded.until then ${attempts.count} else 0 end`,
        until: sql`max(${attempts.until}, excluded.until)`,
      },
    })
    .returning({ count: attempts.count })
    .prepare()

  const { kind, outcome } = usage
  const count = sql<number>`sum(${usage.count})`

  const getUpstream = () => {
    const { answeredAt, failedAt, failingSince, lastError } = upstreamState
    return db.select({ answeredAt, failedAt, failingSince, lastError }).from(upstreamState).get()
  }

  return {
    addToCounters: (counters) =>
      writeFleeting(() => counters.map((counter) => addToCounter.get(counter).count)),

    getCounters: (keys, now) =>
      read(() => {
        const live = and(isOneOf(attempts.key, keys), gt(attempts.until, now))
        const rows = db.select().from(attempts).where(live).all()
        const counts = new Map(rows.map(({ key, count }) => [key, count]))
        return keys.map((key) => counts.get(key) ?? 0)
      }),

    recordUse: (use) =>
      write(() => {
        for (const { id, lastUsedAt: at } of use.grants) {
          touchGrant.run({ id, at })
          touchConnection.run({ id, at })
        }
        for (const { id, lastUsedAt: at, uses } of use.links ?? []) touchLink.run({ id, at, uses })
        for (const row of use.counts) {
          addToCount.run({ ...row, appId: ALL_APPS })
          if (row.appId !== null) addToCount.run({ ...row })
        }
      }),
    sumUsage: ({ appId, since, stretchMs }) =>
      read(() => {
        const app =
          appId === undefined ? ne(usage.appId, ALL_APPS) : eq(usage.appId, appId ?? ALL_APPS)
        const start =
          stretchMs === undefined
            ? sql<Millis>`${since}`
            : sql<Millis>`${usage.hour} - (${usage.hour} - ${since}) % ${stretchMs}`
        return db
          .select({
            appId: sql<string | null>`nullif(${usage.appId}, ${ALL_APPS})`,
            start,
            kind,
            outcome,
            count,
          })
          .from(usage)
          .where(and(app, gte(usage.hour, since)))
          .groupBy(sql`1, 2, 3, 4`)
          .orderBy(sql`1, 2, 3, 4`)
          .all()
      }),

    recordUpstream: (seen) =>
      write(() => {
        const state = { id: 1, ...mergeUpstream(getUpstream() ?? NOTHING, seen) }
        db.insert(upstreamState)
          .values(state)
          .onConflictDoUpdate({ target: upstreamState.id, set: state })
          .run()
      }),

    getUpstream: () => read(() => getUpstream() ?? NOTHING),
  }
}
