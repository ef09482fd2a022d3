import type { Millis, NewEvent, PublicAction, Store } from '../../db/store.ts'
import type { Log } from '../log.ts'
import type { UpstreamStatus } from '../refresh/upstream-status.ts'
import type { Clock } from '../runtime.ts'

/**
 * Watches what concerns all users, and writes an event when it changes: one for all processes, and none for what
 * lasts less than a minute. An outage is one event when it begins and one when it ends, not one per connection.
 */
export interface Conditions {
  start(): void
  stop(): Promise<void>
  /** Looks once, now. */
  check(): Promise<void>
}

const CHECK_INTERVAL_MS = 10_000
/** A change that is reversed sooner is ignored. */
const SETTLE_MS = 60_000
/** As the alert rules (deploy/prometheus/alerts.yml). */
const MIN_FREE_BYTES = 1e8
const CERTIFICATE_NOTICE_MS = 14 * 24 * 60 * 60_000
/** Space counts as free again a bit above the limit. */
const FREE_AGAIN_FACTOR = 1.2

/** A condition that begins or ends. */
interface Change {
  name: string
  isOn: boolean
  /** The event of the beginning, or of the end; `null`: it needs none. */
  action: PublicAction | null
  details: string
}

export function createConditions(deps: {
  store: Store
  upstream: Pick<UpstreamStatus, 'state' | 'clientRefusedSince' | 'clientAcceptedSince'>
  measureStorage: () => Promise<{ freeBytes: number | null; databaseBytes: number }>
  certificateExpiresAt: () => Millis | null
  clock: Clock
  log: Log
}): Conditions {
  const { store, upstream, measureStorage, certificateExpiresAt, clock, log } = deps
  const stopping = new AbortController()
  let loop: Promise<void> = Promise.resolve()
  /** Since when this process sees that Ellipsis Drive does not fail. */
  let answersSince: Millis | null = null

  const settled = (since: Millis | null): boolean =>
    since !== null && Math.abs(clock.now() - since) >= SETTLE_MS

  const checkUpstream = async (): Promise<Change | null> => {
    const { failingSince, lastError } = await upstream.state()
    if (failingSince === null) {
      answersSince ??= clock.now()
      if (!settled(answersSince)) return null
      const details = 'Ellipsis Drive answers again'
      return { name: 'upstream', isOn: false, action: 'upstream.up', details }
    }
    answersSince = null
    // That the broker's own client is refused is another event.
    if (!settled(failingSince) || upstream.clientRefusedSince() !== null) return null
    const details = lastError ?? ''
    return { name: 'upstream', isOn: true, action: 'upstream.down', details }
  }

  /** What this process knows of the client's credentials; another may have used them. */
  const checkCredentials = (): Change | null => {
    const name = 'credentials'
    if (settled(upstream.clientRefusedSince())) {
      const details = 'Ellipsis Drive refuses the client id or secret of this broker'
      return { name, isOn: true, action: 'credentials.refused', details }
    }
    const isAccepted = settled(upstream.clientAcceptedSince())
    return isAccepted ? { name, isOn: false, action: null, details: '' } : null
  }

  const checkStorage = async (): Promise<Change | null> => {
    const { freeBytes, databaseBytes } = await measureStorage()
    if (freeBytes === null) return null
    const limit = Math.max(MIN_FREE_BYTES, 2 * databaseBytes)
    const details = `${Math.round(freeBytes / 1e6)} MB free`
    if (freeBytes < limit) return { name: 'storage', isOn: true, action: 'storage.full', details }
    const isFree = freeBytes > FREE_AGAIN_FACTOR * limit
    return isFree ? { name: 'storage', isOn: false, action: null, details } : null
  }

  const checkCertificate = (): Change | null => {
    const expiresAt = certificateExpiresAt()
    if (expiresAt === null || Number.isNaN(expiresAt)) return null
    const isOn = expiresAt - clock.now() < CERTIFICATE_NOTICE_MS
    const details = `expires ${new Date(expiresAt).toISOString()}`
    return { name: 'certificate', isOn, action: isOn ? 'certificate.expiring' : null, details }
  }

  const record = async (change: Change | null): Promise<void> => {
    if (!change) return
    const { name, isOn, action, details } = change
    const event = { at: clock.now(), actor: 'system', details }
    const events: NewEvent[] = action === null ? [] : [{ ...event, action }]
    await store.setCondition({ name, isOn, events })
  }

  const check = async (): Promise<void> => {
    const checks = [checkUpstream, checkCredentials, checkStorage, checkCertificate]
    for (const look of checks) await record(await look())
  }

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await check().catch((error: unknown) => {
        log.error({ err: error }, 'a check of the installation failed; it is repeated')
      })
      await clock.sleep(CHECK_INTERVAL_MS, stopping.signal)
    }
  }

  return {
    check,
    start() {
      loop = run()
    },
    async stop() {
      stopping.abort()
      await loop
    },
  }
}
