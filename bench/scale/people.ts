import { createHash } from 'node:crypto'
import type { ConnectionStatus } from '../../db/store.ts'

/** One person of a generated host. */
export interface Person {
  id: string
  accountId: string
  username: string
  status: ConnectionStatus
  connectedAt: number
  lastUsedAt: number
  tokensUntil: number
  revokedAt: number | null
  address: string
  grants: PlannedGrant[]
}

export interface PlannedGrant {
  id: string
  jti: string
  /** Index of its app. */
  app: number
  device: string
  createdAt: number
}

const FIRST =
  'amelie anna hannah joanna johan bo chen daan eva femke giulia hugo ines jan karim lena luuk maria mehmet noor olga pieter quinten rosa sara tomas ursula victor wout xenia yara zoe'.split(
    ' ',
  )
const LAST =
  'laurent lindqvist jansen devries bakker visser smit meijer mulder bos vos peters hendriks dekker brouwer kok okafor rossi garcia novak kowalski nguyen tanaka haddad'.split(
    ' ',
  )
const DEVICES = ['Firefox on Linux', 'Chrome on Windows', 'Safari on iOS', 'Chrome on Android']
/** A name that few have. */
const RARE = 'zephyrine'
const RARE_EVERY = 50_000

const DAY = 86_400_000
/** As old as events get: a broker that ran all the time has swept what is older. */
const OLDEST = 399 * DAY

/** Person number `index` of a host of `count`, the same each time. */
export function createPeople(host: { now: number; count: number; shares: number[] }) {
  const { now, count, shares } = host
  return (index: number): Person => {
    const random = numbers(index)
    const pick = <T>(list: T[]): T => list[Math.floor(random() * list.length)] as T
    const given = index % RARE_EVERY === 7 ? RARE : pick(FIRST)
    const connectedAt = now - Math.floor((1 - index / count) * OLDEST) - 1
    const since = now - connectedAt
    const quiet = random() < 0.2
    const ago = quiet ? 90 * DAY + random() * 300 * DAY : random() ** 3 * 30 * DAY
    const lastUsedAt = now - Math.floor(Math.min(ago, since))
    const fate = random()
    const status = fate < 0.01 ? 'revoked' : fate < 0.04 ? 'needs_reconnect' : 'active'
    const chosen = shares.flatMap((share, app) => (random() < share ? [app] : []))
    const apps = chosen.length === 0 ? [0] : chosen
    const devices = 1 + Math.floor(random() * 3)
    return {
      id: `con_${digest(index, 'connection', 22)}`,
      accountId: digest(index, 'account', 36),
      username: `${given}.${pick(LAST)}${index % 9973}`,
      status,
      connectedAt,
      lastUsedAt,
      tokensUntil: lastUsedAt + 3_600_000,
      revokedAt:
        status === 'revoked' ? now - Math.floor(random() * Math.min(since, 20 * DAY)) : null,
      address: `198.51.100.${index % 250}`,
      grants: apps.flatMap((app) =>
        Array.from({ length: devices }, (_, device) => ({
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

const digest = (index: number, what: string, length: number): string =>
  createHash('sha256').update(`${what} ${index}`).digest('base64url').slice(0, length)

/** Numbers in [0, 1) that repeat for a seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed * 2_654_435_761
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
