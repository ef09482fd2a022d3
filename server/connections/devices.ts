import type { Grant, Hash, Millis } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Secret } from '../secret.ts'

/**
 * What people call a device: the grants of one app that began in one browser. Each reconnect begins a grant, and
 * the earlier ones stay valid until they expire, because another tab or a back end may still use them.
 */
export interface Device {
  /** The newest grant that is active, or else the newest one. */
  grant: Grant
  /** When its first grant began. */
  connectedAt: Millis
  lastUsedAt: Millis | null
}

/**
 * Identifies a browser for one app and one connection, so that the store doesn't show which accounts share a
 * browser.
 * @param browser the secret of the browser's cookie
 */
export const browserHashOf = (browser: Secret, appId: string, connectionId: string): Hash =>
  sha256(['browser', browser.reveal(), appId, connectionId].join('\n'))

/** The devices of grants of one connection, in the order of their first grants. */
export function listDevices(grants: Grant[], now: Millis): Device[] {
  // The hash is of one app. A grant without one is a device of its own.
  const groups = Map.groupBy(grants, ({ id, browserHash }) => browserHash ?? id)
  return [...groups.values()].map((group) => toDevice(group, now))
}

/** On how many devices are these grants active? */
export const countDevices = (grants: Grant[], now: Millis): number =>
  listDevices(
    grants.filter(({ revokedAt }) => revokedAt === null),
    now,
  ).length

function toDevice(grants: Grant[], now: Millis): Device {
  const [grant] = grants.toSorted(
    (one, other) =>
      Number(isActive(other, now)) - Number(isActive(one, now)) || other.createdAt - one.createdAt,
  ) as [Grant]
  const uses = grants.flatMap(({ lastUsedAt }) => lastUsedAt ?? [])
  const connectedAt = Math.min(...grants.map(({ createdAt }) => createdAt))
  return { grant, connectedAt, lastUsedAt: uses.length === 0 ? null : Math.max(...uses) }
}

const isActive = ({ revokedAt, expiresAtSeconds }: Grant, now: Millis): boolean =>
  revokedAt === null && expiresAtSeconds * 1000 > now
