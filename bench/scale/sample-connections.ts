import { createHash } from 'node:crypto'
import type { ConnectionStatus } from '../../db/store.ts'

/** A generated connection. */
export interface SampleConnection {
  id: string
  accountId: string
  username: string
  status: ConnectionStatus
  connectedAt: number
  lastUsedAt: number
  tokensUntil: number
  revokedAt: number | null
  address: string
  grants: SampleGrant[]
}

export interface SampleGrant {
  id: string
  jti: string
  /** Index of the app. */
  app: number
  device: string
  createdAt: number
}

const FIRST_NAMES =
  'amelie anna hannah joanna johan bo chen daan eva femke giulia hugo ines jan karim lena luuk maria mehmet noor olga pieter quinten rosa sara tomas ursula victor wout xenia yara zoe'.split(
    ' ',
  )
const LAST_NAMES =
  'laurent lindqvist jansen devries bakker visser smit meijer mulder bos vos peters hendriks dekker brouwer kok okafor rossi garcia novak kowalski nguyen tanaka haddad'.split(
    ' ',
  )
const DEVICES = ['Firefox on Linux', 'Chrome on Windows', 'Safari on iOS', 'Chrome on Android']
/** The first name of one connection in 50,000. */
const RARE_NAME = 'zephyrine'
const RARE_NAME_INTERVAL = 50_000

const DAY_MS = 86_400_000
/** Age of the oldest events: a running broker sweeps older ones. */
const MAX_AGE_MS = 399 * DAY_MS

/** Returns a function that generates connection `index` of `count`, always the same. */
export function createSampleConnections(options: { now: number; count: number; shares: number[] }) {
  const { now, count, shares } = options
  return (index: number): SampleConnection => {
    const random = createRandom(index)
    const pick = <T>(list: T[]): T => list[Math.floor(random() * list.length)] as T
    const firstName = index % RARE_NAME_INTERVAL === 7 ? RARE_NAME : pick(FIRST_NAMES)
    const connectedAt = now - Math.floor((1 - index / count) * MAX_AGE_MS) - 1
    const ageMs = now - connectedAt
    const isInactive = random() < 0.2
    const unusedMs = isInactive
      ? 90 * DAY_MS + random() * 300 * DAY_MS
      : random() ** 3 * 30 * DAY_MS
    const lastUsedAt = now - Math.floor(Math.min(unusedMs, ageMs))
    const statusRandom = random()
    const status =
      statusRandom < 0.01 ? 'revoked' : statusRandom < 0.04 ? 'needs_reconnect' : 'active'
    const chosenApps = shares.flatMap((share, app) => (random() < share ? [app] : []))
    const apps = chosenApps.length === 0 ? [0] : chosenApps
    const deviceCount = 1 + Math.floor(random() * 3)
    return {
      id: `con_${digest(index, 'connection', 22)}`,
      accountId: digest(index, 'account', 36),
      username: `${firstName}.${pick(LAST_NAMES)}${index % 9973}`,
      status,
      connectedAt,
      lastUsedAt,
      tokensUntil: lastUsedAt + 3_600_000,
      revokedAt:
        status === 'revoked' ? now - Math.floor(random() * Math.min(ageMs, 20 * DAY_MS)) : null,
      address: `198.51.100.${index % 250}`,
      grants: apps.flatMap((app) =>
        Array.from({ length: deviceCount }, (_, device) => ({
          id: `grant_${digest(index, `grant ${app} ${device}`, 22)}`,
          jti: digest(index, `jti ${app} ${device}`, 22),
          app,
          device: pick(DEVICES),
          createdAt: connectedAt + Math.floor(random() * (lastUsedAt - connectedAt)),
        })),
      ),
    }
  }
}

const digest = (index: number, purpose: string, length: number): string =>
  createHash('sha256').update(`${purpose} ${index}`).digest('base64url').slice(0, length)

/** Random numbers in [0, 1), the same for each seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed * 2_654_435_761
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
