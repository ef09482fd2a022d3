import { setTimeout as sleep } from 'node:timers/promises'
import { Secret } from '../../server/secret.ts'
import { GRACE_PERIOD_MS } from '../../server/stand-in/refresh-tokens.ts'
import type { Device } from '../operate/load.ts'
import { readAnswers, steadyMs } from './answers.ts'
import type { ChaosEnvironment } from './environment.ts'
import { swap } from './load.ts'

/** The state of the connections after a round. */
interface Findings {
  /** Lost as allowed: upstream had rotated, and the response never reached the disk. By what became of it. */
  lost: Record<Loss, number>
  /** Lost as allowed: a process was paused for longer than the lease, and it or the one that took over called in vain. */
  calledLate: number
  /** Lost as allowed: no broker could retry for most of upstream's grace period. */
  outOfGrace: number
  /** Refreshed since the last fault, but too slowly for a swap to wait for it: the machine is overloaded. */
  slow: number
  /** Losses that are not allowed. */
  violations: string[]
  /** How long the slowest connection took to recover. */
  slowestMs: number
}

/**
 * What became of a new token that never reached the disk:
 * - `on the way`: no process received it.
 * - `killed at once`: the process that received it was killed within two seconds.
 * - `killed later`: it was killed while neither the database nor a file could store it.
 */
export type Loss = 'on the way' | 'killed at once' | 'killed later'

/** A broker keeps what it can’t store in a file after a second; machines are slow. */
const AT_ONCE_MS = 2000
/** So long after a fault, what it delayed may still be under way. */
const AFTERMATH_MS = 10_000

/** Recovery must be faster. A retry time written by a clock that was minutes ahead delays it by minutes. */
const RECOVERY_TIMEOUT_MS = 240_000

const SLOW_AFTER_MS = 60_000
const READY_WITHIN_MS = 60_000
const READY_TIMEOUT_MS = 5000

/** Time in which a resumed process makes the calls that it was about to make. */
const LATE_CALL_WINDOW_MS = 3000

const CONCURRENCY = 40

/** Ends all faults and checks that every connection that upstream still honours recovers by itself. */
export async function checkConnections(environment: ChaosEnvironment): Promise<Findings> {
  environment.standIn.clearFaults()
  await Promise.all(environment.brokers.map((broker) => broker.ready()))
  const findings: Findings = {
    lost: { 'on the way': 0, 'killed at once': 0, 'killed later': 0 },
    calledLate: 0,
    outOfGrace: 0,
    slow: 0,
    violations: [],
    slowestMs: 0,
  }
  const startedAt = Date.now()
  const remaining = [...environment.devices.keys()].values()
  const checkRemaining = async () => {
    for (const index of remaining) await checkOne(environment, index, startedAt, findings)
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, checkRemaining))
  findings.violations.push(
    ...(await listLostCommits(environment)),
    ...(await listDown(environment)),
  )
  return findings
}

/** Brokers that do not start again, although the others serve everyone. */
async function listDown({ brokers }: ChaosEnvironment): Promise<string[]> {
  const startedAt = Date.now()
  const isReady = async (url: string): Promise<boolean> => {
    for (;;) {
      const signal = AbortSignal.timeout(READY_TIMEOUT_MS)
      const response = await fetch(`${url}/readyz`, { signal }).catch(() => null)
      if (response?.ok || Date.now() - startedAt > READY_WITHIN_MS) return response?.ok === true
      await sleep(500)
    }
  }
  const ready = await Promise.all(brokers.map(({ url }) => isReady(url)))
  return brokers.filter((_, index) => !ready[index]).map(({ url }) => `${url} is not ready again`)
}

/** Refreshes that the store acknowledged to a broker and has lost since. */
async function listLostCommits({ services, answersFile }: ChaosEnvironment): Promise<string[]> {
  const { saved, savedTwice } = readAnswers(answersFile)
  const violations = [...savedTwice].map((id) => `${id}: one generation was stored twice`)
  for (const [id, generation] of saved) {
    const row = await services.store.getConnection(id)
    if (row && row.generation < generation)
      violations.push(`${id}: stored generation ${generation}, has ${row.generation}`)
  }
  return violations
}

async function checkOne(
  environment: ChaosEnvironment,
  index: number,
  startedAt: number,
  findings: Findings,
): Promise<void> {
  const { brokers, devices } = environment
  const device = devices[index] as Device
  const { store } = environment.services
  const generationOf = async () => {
    const row = await store.getConnection(device.connectionId).catch(() => null)
    return row?.status === 'active' ? row.generation : null
  }
  const first = (await generationOf()) ?? Infinity
  let last = ''
  for (let round = index; Date.now() - startedAt < RECOVERY_TIMEOUT_MS; round++) {
    const url = brokers[round % brokers.length]?.url ?? ''
    const { status, body } = await swap(url, device.token, { force: true })
    if (status === 200) {
      findings.slowestMs = Math.max(findings.slowestMs, Date.now() - startedAt)
      return
    }
    last = `${status} ${String(body.error)}`
    if (process.env.CHAOS_VERBOSE && Date.now() - startedAt > 15_000)
      process.stdout.write(
        `${device.connectionId} at ${url}: ${last} ${JSON.stringify(body).slice(0, 200)}\n`,
      )
    if (status === 403 && (await isAllowedLoss(environment, device, findings))) return
    // Each forced swap asks for a token that is newer than itself, and gives up after ten seconds.
    if (Date.now() - startedAt > SLOW_AFTER_MS && ((await generationOf()) ?? 0) > first) {
      findings.slow++
      return
    }
    await sleep(status === 403 ? 3000 : 500)
  }
  const row = await store.getConnection(device.connectionId)
  const { status, failures, lastError, staleReason, leaseRemainingMs, retryAt } = row ?? {}
  const pause = retryAt ? retryAt - Date.now() : null
  const facts = JSON.stringify({
    status,
    failures,
    lastError,
    staleReason,
    leaseRemainingMs,
    pause,
  })
  findings.violations.push(`${device.connectionId} doesn't recover by itself: ${last} ${facts}`)
}

/** Does upstream reject the connection? Then records the loss and reconnects, as its user would. */
async function isAllowedLoss(
  environment: ChaosEnvironment,
  device: Device,
  findings: Findings,
): Promise<boolean> {
  const { services, standIn, rotation, losesAnswers } = environment
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
  const isMarked =
    status === 'needs_reconnect' && lastError?.includes('an earlier refresh was lost')
  if (
    newest &&
    environment.pauses.some(
      ({ from, to }) =>
        from + environment.leaseMs <= (endedAt ?? 0) && (endedAt ?? 0) < to + LATE_CALL_WINDOW_MS,
    )
  )
    findings.calledLate++
  else if (newest)
    findings.violations.push(`${id}: upstream rejects it, though the disk has its latest token`)
  else if (!isMarked) findings.violations.push(`${id}: lost, but marked ${status}: ${lastError}`)
  else if (rotation === 'always' && losesAnswers) countLoss(environment, id, token, findings)
  else if (graceUntil !== null && blockedMs(environment, graceUntil) > GRACE_PERIOD_MS / 2)
    findings.outOfGrace++
  else findings.violations.push(`${id}: lost with rotation ${rotation}`)
  await reconnect(environment, id, connection)
  return true
}

/** Counts a loss by what became of the answer to `token`. It is not allowed while the process that got it lives. */
function countLoss(
  { brokers, faults, fullDiskFaults, answersFile }: ChaosEnvironment,
  id: string,
  token: string,
  { lost, violations }: Findings,
): void {
  const receiver = readAnswers(answersFile).receiverOf(token)
  if (!receiver) return void lost['on the way']++
  const { pid, at } = receiver
  const killedAt = brokers.map(({ ends }) => ends.get(pid)).find((end) => end !== undefined)
  if (killedAt === undefined)
    return void violations.push(`${id}: lost by process ${pid}, which lives`)
  const keptMs = killedAt - at
  if (keptMs < AT_ONCE_MS) return void lost['killed at once']++
  lost['killed later']++
  const since = Date.now() - steadyMs()
  const reasons = faults
    .filter(({ name }) => fullDiskFaults.includes(name))
    .filter(({ from, to }) => from - since < killedAt && at < to - since + AFTERMATH_MS)
    .map(({ name }) => name)
  if (process.env.CHAOS_VERBOSE)
    process.stdout.write(`${id}: kept for ${keptMs} ms: ${reasons.join(', ')}\n`)
  if (reasons.length === 0) violations.push(`${id}: kept for ${keptMs} ms without a reason`)
}

/** For how many milliseconds of the grace period that ended at `graceUntil` brokers could not retry. */
function blockedMs({ faults, blockingFaults }: ChaosEnvironment, graceUntil: number): number {
  const within = (at: number) => Math.min(Math.max(at, graceUntil - GRACE_PERIOD_MS), graceUntil)
  return faults
    .filter(({ name }) => blockingFaults.includes(name))
    .reduce((sum, { from, to }) => sum + within(to) - within(from), 0)
}

async function reconnect(
  { services: { store, vault }, standIn }: ChaosEnvironment,
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
