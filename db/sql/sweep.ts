import { and, eq, inArray, isNotNull, isNull, lt, lte, ne, or, sql, type SQL } from 'drizzle-orm'
import type { SQLiteTable } from 'drizzle-orm/sqlite-core'
import {
  attempts,
  bulkItems,
  bulks,
  codes,
  connections,
  deliveries,
  deviceCodes,
  devices,
  dpopProofs,
  events,
  grants,
  links,
  meta,
  outbox,
  sessions,
  setupLinks,
  usage,
  usedStates,
} from './schema.ts'
import { COMMAND_SINK_ID } from '../event-types.ts'
import type { Store } from '../store.ts'
import type { Engine } from './engine.ts'

type Methods = 'getMeta' | 'setMeta' | 'sweep'
type Bounds = Parameters<Store['sweep']>[0]

const DAY_MS = 24 * 60 * 60_000
/** The longest period of the usage chart: usage is kept for it even if events are deleted earlier. */
const CHARTED_MS = 31 * DAY_MS
/** An unused device code is kept this long after its end, so that late polls are told that it has expired. */
const EXPIRED_DEVICE_CODE_MS = 5 * 60_000

/** A sink with deliveries that is no longer there. One seek per sink, however many deliveries it has. */
const REMOVED_SINK = sql`
  with recursive sinks (id) as (
    select min(sink_id) from deliveries
    union all
    select (select min(sink_id) from deliveries where sink_id > sinks.id) from sinks where id is not null
  )
  select id from sinks where id <> ${COMMAND_SINK_ID}
    and not exists (select 1 from webhooks where webhooks.id = sinks.id) limit 1`

/** Meta data, and the sweep of rows that have ended. */
export function sweepMethods(engine: Engine): Pick<Store, Methods> {
  const { db, read, write, deleteSome } = engine

  /** Cancels bulk revocations that nobody confirmed for a day. */
  const cancelBulks = ({ now }: Bounds): void => {
    const unconfirmed = and(eq(bulks.status, 'ready'), lt(bulks.createdAt, now - DAY_MS))
    db.update(bulks).set({ status: 'cancelled', endedAt: now }).where(unconfirmed).run()
  }

  const whereOf = ({ now, keepUsedMs, endedBefore, eventsBefore }: Bounds) => {
    const unusedCode = and(isNull(codes.usedAt), lte(codes.expiresAt, now))
    const unusedDeviceCode = and(
      isNull(deviceCodes.usedAt),
      lte(deviceCodes.expiresAt, now - EXPIRED_DEVICE_CODE_MS),
    )
    const isOver = or(eq(bulks.status, 'cancelled'), lt(bulks.endedAt, endedBefore))
    const ended = db.select({ id: bulks.id }).from(bulks).where(isOver)
    const expired = lt(grants.expiresAtSeconds, Math.floor(endedBefore / 1000))
    const revoked = lt(grants.revokedAt, endedBefore)
    const linksOf = (ended: SQL) =>
      inArray(links.grantId, db.select({ id: grants.id }).from(grants).where(ended))
    return {
      // Not before their deliveries, which need them.
      events: and(
        lt(events.at, eventsBefore),
        sql`${events.id} <= coalesce((select ${outbox.lastEventId} from ${outbox}), ${events.id})`,
        sql`not exists (select 1 from ${deliveries} where ${deliveries.eventId} = ${events.id}
          and ${deliveries.status} = 'pending')`,
      ),
      deliveries: and(lt(deliveries.createdAt, endedBefore), ne(deliveries.status, 'pending')),
      deliveriesOfRemoved: sql`${deliveries.sinkId} = (${REMOVED_SINK})`,
      usage: lt(usage.hour, Math.min(eventsBefore, now - CHARTED_MS)),
      proofs: lte(dpopProofs.expiresAt, now),
      states: lte(usedStates.expiresAt, now),
      codes: or(unusedCode, lte(codes.usedAt, now - keepUsedMs)),
      deviceCodes: or(unusedDeviceCode, lte(deviceCodes.expiresAt, now - keepUsedMs)),
      // Before their grants: the deletion of a grant would delete up to a thousand links in one transaction.
      links: or(lte(links.expiresAt, now), linksOf(revoked)),
      linksOfExpired: linksOf(expired),
      grants: revoked,
      expiredGrants: expired,
      // Only if the erasure is complete: a row that is gone can't be reported as pending.
      connections: and(lt(connections.revokedAt, endedBefore), isNotNull(connections.erasedAt)),
      sessions: lte(sessions.expiresAt, now),
      devices: lte(devices.expiresAt, now),
      attempts: lte(attempts.until, now),
      setupLinks: lte(setupLinks.expiresAt, now),
      bulkItems: inArray(bulkItems.bulkId, ended),
      bulks: lt(bulks.endedAt, endedBefore),
    }
  }

  /**
   * Those of the first `limit` expired grants that belong to an offline app, which needs no valid broker token.
   * They stay, and move in the index of expiry: otherwise every batch would read all of them.
   */
  const keepOfflineGrants = ({ now, endedBefore }: Bounds, limit: number): number => {
    const endedSeconds = Math.floor(endedBefore / 1000)
    return db.run(sql`update grants set expires_at_seconds = ${Math.floor(now / 1000)}
      where id in (select id from grants where expires_at_seconds < ${endedSeconds}
        order by expires_at_seconds limit ${limit})
      and exists (select 1 from apps where apps.id = grants.app_id and offline = 1
        and (grant_lifetime_seconds is null
          or grants.created_at / 1000 + grant_lifetime_seconds >= ${endedSeconds}))`).changes
  }

  return {
    getMeta: () =>
      read(() => {
        const rows = db.select().from(meta).all()
        return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
      }),

    setMeta: (entries) =>
      write(() => {
        for (const [key, value] of Object.entries(entries)) {
          const set = { value: sql`excluded.value` }
          db.insert(meta).values({ key, value }).onConflictDoUpdate({ target: meta.key, set }).run()
        }
      }),

    sweep: (bounds) =>
      write(() => {
        let remaining = bounds.limit
        let linksOfExpired = 0
        const where = whereOf(bounds)
        const sweepTable = (table: SQLiteTable, where: SQL | undefined): number => {
          if (remaining === 0) return 0
          const removed = deleteSome(table, where, remaining)
          remaining -= removed
          return removed
        }
        /** The revoked ones come first, so that none of them is kept. */
        const sweepGrants = (): number => {
          const revoked = sweepTable(grants, where.grants)
          remaining -= keepOfflineGrants(bounds, remaining)
          linksOfExpired = sweepTable(links, where.linksOfExpired)
          return revoked + sweepTable(grants, where.expiredGrants)
        }
        cancelBulks(bounds)
        // The most numerous rows come first: a batch of them looks at nothing else.
        const swept = {
          events: sweepTable(events, where.events),
          codes: sweepTable(codes, where.codes),
          deviceCodes: sweepTable(deviceCodes, where.deviceCodes),
          links: sweepTable(links, where.links),
          grants: sweepGrants(),
          connections: sweepTable(connections, where.connections),
        }
        sweepTable(deliveries, where.deliveries)
        sweepTable(deliveries, where.deliveriesOfRemoved)
        sweepTable(usage, where.usage)
        sweepTable(dpopProofs, where.proofs)
        sweepTable(usedStates, where.states)
        sweepTable(sessions, where.sessions)
        sweepTable(devices, where.devices)
        sweepTable(attempts, where.attempts)
        sweepTable(setupLinks, where.setupLinks)
        sweepTable(bulkItems, where.bulkItems)
        sweepTable(bulks, where.bulks)
        return { ...swept, links: swept.links + linksOfExpired, more: remaining === 0 }
      }),
  }
}
