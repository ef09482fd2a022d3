import { setTimeout as sleep } from 'node:timers/promises'
import { Secret } from '../../server/secret.ts'
import { GRACE_PERIOD_MS } from '../../server/stand-in/refresh-tokens.ts'
import type { Device } from '../operate/load.ts'
import { BLOCKING } from './mayhem.ts'
import { swap } from './setting.ts'
import type { Setting } from './setting.ts'

/** What became of the connections. */
export interface Findings {
  /** Lost as they may be: upstream had rotated, and the answer never reached the disk. */
  lost: number
  /** Lost as they may be: a process that was paused between its lease and its call called after it. */
  overslept: number
  /** Lost as they may be: for most of upstream's grace no broker could ask again. */
  outOfGrace: number
  /** What must not be, in words. */
  violations: string[]
  /** How long the slowest took to work again, milliseconds. */
  slowest: number
}

/**
 * Whatever isn't well by then, with nothing in its way, takes a person. A pause that was written by a clock
 * a few minutes ahead lasts for as long. Milliseconds.
 */
const PATIENCE = 240_000

/** By when a process that was paused has made the calls that it was about to make, milliseconds. */
const AWAKE = 3000

/** With nothing in the way any more: does whatever upstream still honours work again by itself? */
export async function check(setting: Setting): Promise<Findings> {
  setting.standIn.clearFaults()
  await Promise.all(setting.brokers.map((broker) => broker.ready()))
  const findings: Findings = {
    lost: 0,
    overslept: 0,
    outOfGrace: 0,
    violations: [],
    slowest: 0,
  }
  const began = Date.now()
  const left = [...setting.devices.keys()].values()
  const look = async () => {
    for (const index of left) await checkOne(setting, index, began, findings)
  }
  await Promise.all(Array.from({ length: 40 }, look))
  return findings
}

async function checkOne(
  setting: Setting,
  index: number,
  began: number,
  findings: Findings,
): Promise<void> {
  const { brokers, devices } = setting
  const device = devices[index] as Device
  let last = ''
  for (let round = index; Date.now() - began < PATIENCE; round++) {
    const url = brokers[round % brokers.length]?.url ?? ''
    const { status, body } = await swap(url, device.token, { force: true })
    if (status === 200) {
      findings.slowest = Math.max(findings.slowest, Date.now() - began)
      return
    }
    last = `${status} ${String(body.error)}`
    if (status === 403 && (await isEnded(setting, device, findings))) return
    await sleep(status === 403 ? 3000 : 500)
  }
  const row = await setting.services.store.getConnection(device.connectionId)
  const { status, failures, lastError, staleReason, leaseUntil, retryAt } = row ?? {}
  const lease = leaseUntil ? leaseUntil - setting.services.clock.steady() : null
  const pause = retryAt ? retryAt - Date.now() : null
  const facts = JSON.stringify({ status, failures, lastError, staleReason, lease, pause })
  findings.violations.push(`${device.connectionId} doesn't work by itself: ${last} ${facts}`)
}

/** Is it dead, and rightly so? Then it is connected anew, as its user would. */
async function isEnded(setting: Setting, device: Device, findings: Findings): Promise<boolean> {
  const { services, standIn, rotation } = setting
  const id = device.connectionId
  const connection = await services.store.getConnection(id)
  const { refreshToken, previousRefreshToken, status, lastError } = connection ?? {}
  if (!connection || !refreshToken) throw new Error(`${id} has no refresh token`)
  const token = services.vault.open(`connections/${id}/refresh_token`, refreshToken).reveal()
  const { honoured, newest, endedAt, graceUntil } = standIn.refreshTokens.status(token)
  const previous = previousRefreshToken
    ? services.vault.open(`connections/${id}/previous_refresh_token`, previousRefreshToken).reveal()
    : ''
  if (honoured || standIn.honours(previous)) return false
  const shown = status === 'needs_reconnect' && lastError?.includes('an earlier refresh was lost')
  if (newest && setting.wokenAt.some((at) => at <= (endedAt ?? 0) && (endedAt ?? 0) < at + AWAKE))
    findings.overslept++
  else if (newest)
    findings.violations.push(`${id}: upstream ended it, though the disk has its last token`)
  else if (!shown) findings.violations.push(`${id}: lost, and shown as ${status}: ${lastError}`)
  else if (rotation === 'always') findings.lost++
  else if (graceUntil !== null && blocked(setting, graceUntil) > GRACE_PERIOD_MS / 2)
    findings.outOfGrace++
  else findings.violations.push(`${id}: lost with rotation ${rotation}`)
  await reconnect(setting, id, connection)
  return true
}

/** For how much of a grace that ended then brokers were kept from asking again, milliseconds. */
function blocked({ actions }: Setting, graceUntil: number): number {
  const within = (at: number) => Math.min(Math.max(at, graceUntil - GRACE_PERIOD_MS), graceUntil)
  return actions
    .filter(({ action }) => BLOCKING.includes(action))
    .reduce((sum, { from, to }) => sum + within(to) - within(from), 0)
}

async function reconnect(
  { services: { store, vault }, standIn }: Setting,
  id: string,
  { generation, username }: { generation: number; username: string },
): Promise<void> {
  const seal = (column: string, secret: string) =>
    vault.seal(`connections/${id}/${column}`, new Secret(secret))
  await store.saveConnection({
    id,
    expectedGeneration: generation,
    accountId: null,
    username,
    tokens: {
      refreshToken: seal('refresh_token', standIn.grant(username)),
      accessToken: seal('access_token', 'none'),
      accessTokenExpiresAt: 0,
      accessTokenFetchedAt: 0,
    },
    now: Date.now(),
    code: null,
    events: [],
  })
}
