import { COMMAND_SINK_ID } from '../../../../db/event-types.ts'
import type { Grant, Millis, SealedValue, SigningKey } from '../../../../db/store.ts'
import { associatedData } from '../../../../db/associated-data.ts'
import { deleteConnection, deleteGrant } from './connections.ts'
import { deleteWhere, isSame, sortBy, writeEvents } from './tables.ts'
import type { Answering, Tables } from './tables.ts'

type Methods =
  | 'listSigningKeys'
  | 'replaceSigningKeys'
  | 'listSealed'
  | 'reseal'
  | 'getMeta'
  | 'setMeta'
  | 'sweep'
  | 'releaseSpace'
  | 'purge'
  | 'isErasurePending'
  | 'checkWritable'

const DAY_MS = 86_400_000
const EXPIRED_DEVICE_CODE_MS = 5 * 60_000

export const upkeepRules = (tables: Tables): Answering<Methods> => {
  const { connections, signingKeys } = tables
  const keys = (): SigningKey[] =>
    sortBy(
      signingKeys.values(),
      ({ createdAt }) => createdAt,
      ({ kid }) => kid,
    )
  const isPending = <T extends { status: string; erasedAt: Millis | null }>(one: T): boolean =>
    one.status === 'revoked' && one.erasedAt === null

  return {
    listSigningKeys: keys,

    replaceSigningKeys(before, after, events) {
      if (!isSame(keys(), before)) return false
      signingKeys.clear()
      for (const key of after) {
        const zeros = key.status === 'revoked' && {
          privateKey: new Uint8Array(key.privateKey.length),
        }
        signingKeys.set(key.kid, { ...key, ...zeros })
      }
      writeEvents(tables, events)
      return true
    },

    listSealed: ({ after, limit }) =>
      sortBy(sealedValues(tables), ({ key }) => key)
        .filter(({ key }) => after === null || key > after)
        .slice(0, limit)
        .map(({ replace: _, ...value }) => value),

    reseal(values) {
      let replaced = 0
      for (const { key, expected, sealed } of values) {
        const stored = sealedValues(tables).find((one) => one.key === key)
        if (!stored || !isSame(stored.sealed, expected)) continue
        stored.replace(sealed)
        replaced++
      }
      return replaced
    },

    getMeta: () => Object.fromEntries(tables.meta),

    setMeta(entries) {
      for (const [key, value] of Object.entries(entries)) tables.meta.set(key, value)
    },

    /** All at once, whatever the limit. */
    sweep(bounds) {
      return { ...sweepAll(tables, bounds), more: false }
    },

    releaseSpace: () => false,

    purge({ now, connectionId }) {
      for (const connection of connections.values())
        if (isPending(connection) && (connectionId ?? connection.id) === connection.id)
          connections.set(connection.id, { ...connection, erasedAt: now })
      for (const key of signingKeys.values())
        if (isPending(key) && connectionId === undefined)
          signingKeys.set(key.kid, { ...key, erasedAt: now })
      return 'done'
    },

    isErasurePending: () => [...connections.values(), ...signingKeys.values()].some(isPending),

    checkWritable: () => undefined,
  }
}

interface Bounds {
  now: Millis
  keepUsedMs: number
  endedBefore: Millis
  eventsBefore: Millis
}

/** Deletes what has ended. Returns how many rows of each kind. */
function sweepAll(tables: Tables, { now, keepUsedMs, endedBefore, eventsBefore }: Bounds) {
  const hasExpired = ({ expiresAt }: { expiresAt: Millis }) => expiresAt <= now
  const isLongOver = (at: Millis | null) => at !== null && at < endedBefore
  for (const used of [tables.usedStates, tables.usedProofs])
    deleteWhere(used, (expiresAt) => expiresAt <= now)
  deleteWhere(tables.sessions, hasExpired)
  deleteWhere(tables.devices, hasExpired)
  deleteWhere(tables.setupLinks, (expiresAt) => expiresAt <= now)
  deleteWhere(tables.attempts, ({ until }) => until <= now)
  deleteWhere(tables.counters, ({ until }) => until <= now)

  const codes = deleteWhere(tables.codes, ({ usedAt, expiresAt }) =>
    usedAt === null ? expiresAt <= now : usedAt <= now - keepUsedMs,
  )
  const deviceCodes = deleteWhere(
    tables.deviceCodes,
    ({ usedAt, expiresAt }) =>
      expiresAt <= now - keepUsedMs ||
      (usedAt === null && expiresAt <= now - EXPIRED_DEVICE_CODE_MS),
  )

  const grantEnded = (grant: Grant) =>
    isLongOver(grant.revokedAt) || grant.expiresAtSeconds < Math.floor(endedBefore / 1000)
  let links = deleteWhere(tables.links, hasExpired)
  let grants = 0
  for (const grant of tables.grants.values()) {
    if (!grantEnded(grant)) continue
    if (!isLongOver(grant.revokedAt) && isKeptOffline(tables, grant, endedBefore)) {
      tables.grants.set(grant.id, { ...grant, expiresAtSeconds: Math.floor(now / 1000) })
      continue
    }
    links += deleteWhere(tables.links, ({ grantId }) => grantId === grant.id)
    deleteGrant(tables, grant.id)
    grants++
  }

  const over = [...tables.connections.values()].filter(
    ({ revokedAt, erasedAt }) => isLongOver(revokedAt) && erasedAt !== null,
  )
  for (const { id } of over) deleteConnection(tables, id)

  for (const bulk of tables.bulks.values()) {
    if (bulk.status === 'ready' && bulk.createdAt < now - DAY_MS)
      tables.bulks.set(bulk.id, { ...bulk, status: 'cancelled', endedAt: now })
    if (tables.bulks.get(bulk.id)?.status === 'cancelled') tables.bulkItems.delete(bulk.id)
    if (isLongOver(bulk.endedAt)) {
      tables.bulks.delete(bulk.id)
      tables.bulkItems.delete(bulk.id)
    }
  }

  deleteWhere(
    tables.deliveries,
    ({ sinkId, status, createdAt }) =>
      (status !== 'pending' && createdAt < endedBefore) ||
      (sinkId !== COMMAND_SINK_ID && !tables.webhooks.has(sinkId)),
  )
  const undelivered = new Set(
    [...tables.deliveries.values()]
      .filter(({ status }) => status === 'pending')
      .map((d) => d.eventId),
  )
  const { lastEventId } = tables.outbox
  const events = deleteWhere(
    tables.events,
    ({ id, at }) =>
      at < eventsBefore && !undelivered.has(id) && (lastEventId === null || id <= lastEventId),
  )
  tables.usage = tables.usage.filter(
    ({ hour }) => hour >= Math.min(eventsBefore, now - 31 * DAY_MS),
  )
  return { codes, deviceCodes, links, grants, connections: over.length, events }
}

/** The grant of an offline app stays until the app's grant lifetime is over. */
function isKeptOffline(tables: Tables, grant: Grant, endedBefore: Millis): boolean {
  const app = tables.apps.get(grant.appId)
  if (!app?.offline) return false
  const { grantLifetimeSeconds } = app
  const beganAtSeconds = Math.floor(grant.createdAt / 1000)
  return beganAtSeconds + (grantLifetimeSeconds ?? Infinity) >= Math.floor(endedBefore / 1000)
}

/** All sealed values, each with how to replace it. */
function sealedValues(tables: Tables) {
  const values: (SealedValue & { replace: (sealed: Uint8Array) => void })[] = []
  const add = <K, R>(
    table: Map<K, R>,
    key: K,
    fields: Partial<Record<keyof R & string, SealedValue['associatedData']>>,
  ): void => {
    for (const [field, associatedData] of Object.entries(fields) as [
      keyof R,
      SealedValue['associatedData'],
    ][]) {
      const record = table.get(key) as R
      const sealed = record[field]
      if (!(sealed instanceof Uint8Array)) continue
      const replace = (value: Uint8Array) =>
        table.set(key, { ...(table.get(key) as R), [field]: value })
      values.push({ key: associatedData, associatedData, sealed, replace })
    }
  }
  for (const { id } of tables.connections.values())
    add(tables.connections, id, {
      refreshToken: associatedData.refreshToken(id),
      previousRefreshToken: associatedData.previousRefreshToken(id),
      accessToken: associatedData.accessToken(id),
    })
  for (const kid of tables.signingKeys.keys())
    add(tables.signingKeys, kid, { privateKey: associatedData.privateKey(kid) })
  for (const id of tables.secondFactors.keys())
    add(tables.secondFactors, id, { secret: associatedData.secondFactor(id) })
  for (const id of tables.webhooks.keys())
    add(tables.webhooks, id, {
      secret: associatedData.webhookSecret(id),
      previousSecret: associatedData.previousWebhookSecret(id),
    })
  return values
}
