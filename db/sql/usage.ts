import { and, eq, gt, gte, ne, sql } from 'drizzle-orm'
import { attempts, upstreamState, usage } from './schema.ts'
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

/** Rows of `@list`, an array of JSON: two numbers of 16 digits and an id in each text, see `listUsed`. */
const USED = `select cast(substr(value, 1, 16) as bigint) as used_at, cast(substr(value, 17, 16) as bigint) as used_times,
  substr(value, 33) as used_id from json_each(@list)`

type Use = Parameters<UsageStore['recordUse']>[0]
type UsageCount = Use['counts'][number]

/** One parameter for all uses, each id once; `null`: there are none. */
function listUsed(uses: { id: string; lastUsedAt: Millis; uses?: number }[]): string | null {
  const merged = new Map<string, [lastUsedAt: number, uses: number]>()
  for (const { id, lastUsedAt, uses: times = 1 } of uses) {
    const [latest, sum] = merged.get(id) ?? [0, 0]
    merged.set(id, [Math.max(latest, lastUsedAt), sum + times])
  }
  const digits = (value: number) => String(value).padStart(16, '0')
  const texts = [...merged].map(([id, [at, sum]]) => digits(at) + digits(sum) + id)
  return texts.length === 0 ? null : JSON.stringify(texts)
}

export function usageMethods({ client, db, read, write, writeFleeting }: Engine): UsageStore {
  const touchGrants = client.prepare(`
    update grants set last_used_at = max(coalesce(last_used_at, 0), used.used_at)
    from (${USED}) as used where grants.id = used.used_id`)
  const touchConnections = client.prepare(`
    update connections set last_used_at = used.used_at
    from (select connection_id as used_id, max(used_at) as used_at
      from (${USED}) as listed cross join grants on grants.id = listed.used_id group by connection_id) as used
    where connections.id = used.used_id and coalesce(last_used_at, 0) + ${TOUCH_INTERVAL_MS} <= used.used_at`)
  const touchLinks = client.prepare(`
    update links set last_used_at = max(coalesce(last_used_at, 0), used.used_at), uses = uses + used.used_times
    from (${USED}) as used where links.id = used.used_id`)

  /** Each row once: PostgreSQL refuses to change one twice in a statement. */
  const addToCounts = (counts: UsageCount[]): void => {
    const rows = new Map<string, UsageCount & { appId: string }>()
    for (const row of counts) {
      for (const appId of new Set([ALL_APPS, row.appId ?? ALL_APPS])) {
        const key = JSON.stringify([appId, row.hour, row.kind, row.outcome])
        const count = row.count + (rows.get(key)?.count ?? 0)
        rows.set(key, { ...row, appId, count })
      }
    }
    if (rows.size === 0) return
    db.insert(usage)
      .values([...rows.values()])
      .onConflictDoUpdate({
        target: [usage.appId, usage.hour, usage.kind, usage.outcome],
        set: { count: sql`${usage.count} + excluded.count` },
      })
      .run()
  }

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

  const { answeredAt, failedAt, failingSince, lastError } = upstreamState
  const findUpstream = db
    .select({ answeredAt, failedAt, failingSince, lastError })
    .from(upstreamState)
    .prepare()

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
        const grants = listUsed(use.grants)
        const links = listUsed(use.links ?? [])
        if (grants) touchGrants.run({ list: grants })
        if (grants) touchConnections.run({ list: grants })
        if (links) touchLinks.run({ list: links })
        addToCounts(use.counts)
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
        const state = { id: 1, ...mergeUpstream(findUpstream.get() ?? NOTHING, seen) }
        db.insert(upstreamState)
          .values(state)
          .onConflictDoUpdate({ target: upstreamState.id, set: state })
          .run()
      }),

    getUpstream: () => read(() => findUpstream.get() ?? NOTHING),
  }
}
