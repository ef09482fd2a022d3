import type { BulkItem, BulkRevocation, ConnectionFilter, NewEvent, Store } from '../../db/store.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Clock, Random, Throttle } from '../runtime.ts'
import type { Log } from '../log.ts'

/** Revokes many connections at once: collected first, confirmed by an admin, then worked off in batches. */
export interface BulkRevocations {
  /**
   * Collects whom to revoke: these, or all that match now. Few are ready when it returns; many are
   * collected on in the background. Answers its id.
   */
  begin(selection: ConnectionFilter | string[], by: Actor): Promise<number>
  /** One, with a few of those to do and of those that failed. `undefined`: there is none. */
  find(id: number): Promise<ShownBulk | undefined>
  /** The latest. */
  list(): Promise<BulkRevocation[]>
  /** Begins to revoke those that were collected; `by` answers for it. `false`: it isn't ready. */
  confirm(id: number, by: Actor): Promise<boolean>
  /**
   * Ends it; who was revoked stays so. `false`: it has ended, or runs.
   * @param options.running whether it is also ended if it runs, as whoever asks has to have seen
   */
  cancel(id: number, by: Actor, options?: { running: boolean }): Promise<boolean>
  /** Works off what there is, until `stop`. */
  start(): void
  stop(): Promise<void>
}

export interface ShownBulk {
  bulk: BulkRevocation
  sample: BulkItem[]
  failed: BulkItem[]
  /** Revoked tokens whose bytes aren't gone yet, of this one or of another revocation. */
  erasurePending: boolean
}

/** Milliseconds: longer than any batch takes. A process that dies keeps the others waiting for this long. */
const LEASE = 15_000
/** How often each process looks for work. */
const LOOK_EVERY = 2000
/** After trouble, such as a full disk. */
const REST_AFTER_TROUBLE = 5000
/** How long the page that asks for confirmation may be waited for. */
const COLLECT_AT_ONCE = 300
/** How long a batch goes on, milliseconds; the disk takes as long again. And how many it may hold. */
const BATCH_TAKES = 8
const LARGEST_BATCH = 100
const SHOWN = 20

export function createBulkRevocations(needs: {
  store: Store
  throttle: Throttle
  clock: Clock
  random: Random
  log: Log
}): BulkRevocations {
  const { store, throttle, clock, random, log } = needs
  const owner = random(12).toString('base64url')
  const stopping = new AbortController()
  let wake = new AbortController()
  let loop: Promise<void> = Promise.resolve()

  const until = () => clock.now() + LEASE

  /** Collects until all are, or the time is over. */
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
      const added = await store.addBulkItems({ id, owner, until: until(), connectionIds, cursor })
      if (!added || cursor === null) return
    }
  }

  /** Revokes until none is left, or the bulk is no longer this process's to work on. */
  const revoke = async ({ id }: BulkRevocation): Promise<void> => {
    const batch = { id, owner, limit: LARGEST_BATCH, maxDurationMs: BATCH_TAKES }
    for (let going = true; going && !stopping.signal.aborted;) {
      going = await throttle(() =>
        store.revokeBulkItems({ ...batch, now: clock.now(), until: until() }),
      )
    }
  }

  /** Releases this process's lease. */
  const release = (id: number, trouble: string | null): Promise<boolean> => {
    const expected = { leaseOwner: owner }
    return store.updateBulk({ id, expected, changes: { ...noLease, trouble }, events: [] })
  }

  const work = async (bulk: BulkRevocation): Promise<boolean> => {
    let trouble: string | null = null
    try {
      await (bulk.status === 'collecting' ? collect(bulk) : revoke(bulk))
    } catch (error) {
      trouble = 'The database can’t be written to; the log says why. It is tried again.'
      log.error({ err: error, bulk: bulk.id }, 'a bulk revocation stands still; it is tried again')
    }
    await release(bulk.id, trouble)
    return trouble === null
  }

  /** Does the oldest piece of work there is. Answers how long to wait for the next. */
  const workOnce = async (): Promise<number> => {
    const now = clock.now()
    const bulk = await store.takeBulk({ owner, now, until: now + LEASE, maxLeaseMs: LEASE })
    if (!bulk) return LOOK_EVERY
    return (await work(bulk)) ? 0 : REST_AFTER_TROUBLE
  }

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      wake = new AbortController()
      const wait = await workOnce().catch((error: unknown) => {
        log.error({ err: error }, 'bulk revocations can’t be worked on; it is tried again')
        return REST_AFTER_TROUBLE
      })
      await clock.sleep(wait, AbortSignal.any([stopping.signal, wake.signal]))
    }
  }

  const event = (id: number, by: Actor, action: string): NewEvent => ({
    ...actorFields(by),
    at: clock.now(),
    action,
    details: `bulk revocation ${id}`,
  })

  /** Those of a hand-picked selection that there is something to revoke of. */
  const live = async (ids: string[]): Promise<string[]> => {
    const connections = await Promise.all([...new Set(ids)].map((id) => store.getConnection(id)))
    return connections.flatMap((one) => (one && one.status !== 'revoked' ? [one.id] : []))
  }

  return {
    async begin(selection, by) {
      const { actor, address = null } = actorFields(by)
      const now = clock.now()
      const picked = Array.isArray(selection)
      const filter = picked ? null : withoutRevoked(selection)
      const lease = { leaseOwner: owner, leaseUntil: until() }
      const id = await store.addBulk({ filter, actor, address, createdAt: now, ...lease }, (id) => [
        event(id, by, 'bulk.asked'),
      ])
      if (picked) {
        const connectionIds = await live(selection)
        await store.addBulkItems({ id, owner, until: until(), connectionIds, cursor: null })
      } else {
        await collect({ id, filter, cursor: null }, now + COLLECT_AT_ONCE)
        await release(id, null)
        wake.abort()
      }
      return id
    },

    async find(id) {
      const bulk = await store.getBulk(id)
      if (!bulk) return undefined
      return {
        bulk,
        sample: await store.listBulkItems({ id, failed: false, limit: SHOWN }),
        failed: await store.listBulkItems({ id, failed: true, limit: SHOWN }),
        erasurePending: await store.isErasurePending(),
      }
    },

    list: () => store.listBulks(SHOWN),

    async confirm(id, by) {
      const { actor, address = null } = actorFields(by)
      const started = await store.updateBulk({
        id,
        expected: { statuses: ['ready'] },
        changes: { status: 'running', startedAt: clock.now(), actor, address },
        events: [event(id, by, 'bulk.confirmed')],
      })
      wake.abort()
      return started
    },

    cancel: (id, by, { running } = { running: true }) =>
      store.updateBulk({
        id,
        expected: { statuses: ['collecting', 'ready', ...(running ? ['running' as const] : [])] },
        changes: { status: 'cancelled', endedAt: clock.now(), trouble: null, ...noLease },
        events: [event(id, by, 'bulk.cancelled')],
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

const noLease = { leaseOwner: null, leaseUntil: null }

/** Of those that are revoked already there is nothing to revoke. */
const withoutRevoked = ({ statuses, ...filter }: ConnectionFilter): ConnectionFilter => ({
  ...filter,
  statuses: statuses.filter((status) => status !== 'revoked'),
})
