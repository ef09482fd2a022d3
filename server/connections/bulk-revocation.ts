import type { BulkItem, BulkRevocation, ConnectionFilter, NewEvent, Store } from '../../db/store.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Clock, Random, Throttle } from '../runtime.ts'
import type { Log } from '../log.ts'

/** Revokes many connections: first collects them, then an admin confirms, then they are revoked in batches. */
interface BulkRevocations {
  /**
   * Creates a bulk revocation of these connections, or of all that match the filter now. A small selection is
   * ready when this returns; a large one is collected further in the background.
   * @returns its id
   */
  begin(selection: ConnectionFilter | string[], actor: Actor): Promise<number>
  /** One bulk revocation, with some of its pending and failed connections; `undefined` if the id is unknown. */
  find(id: number): Promise<BulkRevocationDetails | undefined>
  /** The latest ones. */
  list(): Promise<BulkRevocation[]>
  /** Starts revoking; the events name this actor. `false`: it is not ready. */
  confirm(id: number, actor: Actor): Promise<boolean>
  /**
   * Cancels it; connections that are revoked already stay revoked. `false`: it has ended, or is running.
   * @param options.running also cancel one that is running (default); pass `false` if the actor has not
   *   seen it running
   */
  cancel(id: number, actor: Actor, options?: { running: boolean }): Promise<boolean>
  /** Works on bulk revocations until `stop`. */
  start(): void
  stop(): Promise<void>
}

export interface BulkRevocationDetails {
  bulk: BulkRevocation
  sample: BulkItem[]
  failed: BulkItem[]
  /** Some revoked tokens, of this or of another revocation, are not erased yet. */
  erasurePending: boolean
}

/** Longer than any batch takes. If a process dies, the others wait this long before they continue its work. */
const LEASE_DURATION_MS = 15_000
/** How often each process looks for work. */
const POLL_INTERVAL_MS = 2000
/** Pause after an error, such as a full disk. */
const ERROR_RETRY_DELAY_MS = 5000
/** How long `begin` collects before the rest is collected in the background. */
const COLLECT_TIMEOUT_MS = 300
/** How long a batch goes on; its commit to disk takes as long again. */
const BATCH_DURATION_MS = 8
const MAX_BATCH_SIZE = 100
/** Number of items and of bulk revocations shown. */
const SHOWN_LIMIT = 20

export function createBulkRevocations(dependencies: {
  store: Store
  throttle: Throttle
  clock: Clock
  random: Random
  log: Log
}): BulkRevocations {
  const { store, throttle, clock, random, log } = dependencies
  const owner = random(12).toString('base64url')
  const stopping = new AbortController()
  let wake = new AbortController()
  let loop: Promise<void> = Promise.resolve()

  /** Collects matching connections until all are collected or the deadline has passed. */
  const collect = async (
    bulk: Pick<BulkRevocation, 'id' | 'filter' | 'cursor'>,
    deadline = Infinity,
  ): Promise<void> => {
    const { id, filter } = bulk
    let cursor = bulk.cursor
    while (filter && !stopping.signal.aborted && clock.now() < deadline) {
      const page = await throttle(() => store.walkConnections(filter, cursor))
      cursor = page.next
      const connectionIds = page.rows.map((row) => row.id)
      const added = await store.addBulkItems({
        id,
        owner,
        forMs: LEASE_DURATION_MS,
        connectionIds,
        cursor,
      })
      if (!added || cursor === null) return
    }
  }

  /** Revokes until all are revoked, or this process has lost the lease. */
  const revoke = async ({ id }: BulkRevocation): Promise<void> => {
    const limits = { limit: MAX_BATCH_SIZE, maxDurationMs: BATCH_DURATION_MS }
    const batch = { id, owner, forMs: LEASE_DURATION_MS, ...limits }
    for (let hasMore = true; hasMore && !stopping.signal.aborted;) {
      hasMore = await throttle(() => store.revokeBulkItems({ ...batch, now: clock.now() }))
    }
  }

  /** Releases this process's lease. */
  const release = (id: number, trouble: string | null): Promise<boolean> => {
    const expected = { leaseOwner: owner }
    return store.updateBulk({ id, expected, changes: { leaseOwner: null, trouble }, events: [] })
  }

  /** Cancels one that has no filter to collect by: its process died before the picked connections were stored. */
  const cancelIncomplete = (id: number): Promise<boolean> =>
    store.updateBulk({
      id,
      expected: { statuses: ['collecting'], leaseOwner: owner },
      changes: { status: 'cancelled', endedAt: clock.now(), leaseOwner: null },
      events: [event(id, 'system', 'bulk.cancelled')],
    })

  /** Works on a leased bulk revocation. `false`: an error stopped it; it will be retried. */
  const workOn = async (bulk: BulkRevocation): Promise<boolean> => {
    let trouble: string | null = null
    try {
      if (bulk.status === 'running') await revoke(bulk)
      else await (bulk.filter ? collect(bulk) : cancelIncomplete(bulk.id))
    } catch (error) {
      trouble = 'The database can’t be written to; see the log. It will be retried.'
      log.error({ err: error, bulk: bulk.id }, 'a bulk revocation failed; it will be retried')
    }
    await release(bulk.id, trouble)
    return trouble === null
  }

  /** Works on the oldest unfinished bulk revocation. Returns how long to wait for the next, milliseconds. */
  const workOnNext = async (): Promise<number> => {
    const bulk = await store.takeBulk({ owner, forMs: LEASE_DURATION_MS })
    if (!bulk) return POLL_INTERVAL_MS
    return (await workOn(bulk)) ? 0 : ERROR_RETRY_DELAY_MS
  }

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      wake = new AbortController()
      const delayMs = await workOnNext().catch((error: unknown) => {
        log.error({ err: error }, 'looking for bulk revocations failed; it will be retried')
        return ERROR_RETRY_DELAY_MS
      })
      await clock.sleep(delayMs, AbortSignal.any([stopping.signal, wake.signal]))
    }
  }

  const event = (id: number, actor: Actor, action: string): NewEvent => ({
    ...actorFields(actor),
    at: clock.now(),
    action,
    details: `bulk revocation ${id}`,
  })

  return {
    async begin(selection, actor) {
      const { actor: actorName, address = null } = actorFields(actor)
      const now = clock.now()
      const request = { actor: actorName, address, createdAt: now }
      const events = (id: number) => [event(id, actor, 'bulk.asked')]
      if (Array.isArray(selection)) {
        return store.addBulk({ ...request, connectionIds: selection }, events)
      }
      const filter = withoutRevoked(selection)
      const lease = { leaseOwner: owner, leaseForMs: LEASE_DURATION_MS }
      const id = await store.addBulk({ ...request, filter, ...lease }, events)
      await collect({ id, filter, cursor: null }, now + COLLECT_TIMEOUT_MS)
      await release(id, null)
      wake.abort()
      return id
    },

    async find(id) {
      const bulk = await store.getBulk(id)
      if (!bulk) return undefined
      return {
        bulk,
        sample: await store.listBulkItems({ id, failed: false, limit: SHOWN_LIMIT }),
        failed: await store.listBulkItems({ id, failed: true, limit: SHOWN_LIMIT }),
        erasurePending: await store.isErasurePending(),
      }
    },

    list: () => store.listBulks(SHOWN_LIMIT),

    async confirm(id, actor) {
      const { actor: actorName, address = null } = actorFields(actor)
      const started = await store.updateBulk({
        id,
        expected: { statuses: ['ready'] },
        changes: { status: 'running', startedAt: clock.now(), actor: actorName, address },
        events: [event(id, actor, 'bulk.confirmed')],
      })
      wake.abort()
      return started
    },

    cancel: (id, actor, { running } = { running: true }) =>
      store.updateBulk({
        id,
        expected: { statuses: ['collecting', 'ready', ...(running ? ['running' as const] : [])] },
        changes: { status: 'cancelled', endedAt: clock.now(), trouble: null, leaseOwner: null },
        events: [event(id, actor, 'bulk.cancelled')],
      }),

    start() {
      loop = run()
    },

    async stop() {
      stopping.abort()
      await loop
    },
  }
}

/** Narrows the filter to connections that can still be revoked. */
const withoutRevoked = ({ statuses, ...filter }: ConnectionFilter): ConnectionFilter => ({
  ...filter,
  statuses: statuses.filter((status) => status !== 'revoked'),
})
