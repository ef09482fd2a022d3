import { Counter, Gauge } from 'prom-client'
import type { Registry } from 'prom-client'
import type { Store } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'
import { SHARED, readWithin } from './read.ts'

/** `failed`: it is tried again; `given_up`: it is not. */
const OUTCOMES = ['delivered', 'failed', 'given_up'] as const
export type DeliveryOutcome = (typeof OUTCOMES)[number]

/** Adds metrics of events on their way to webhooks and the command. Returns the function that counts attempts. */
export function addDeliveryMetrics(
  registry: Registry,
  { store, clock }: { store: Pick<Store, 'countDeliveries'>; clock: Clock },
): (outcome: DeliveryOutcome) => void {
  const registers = [registry]
  const attempts = new Counter({
    name: 'ellipsis_broker_event_deliveries_total',
    help: 'Attempts to deliver events by outcome; failed: tried again; given_up: not any more.',
    labelNames: ['outcome'] as const,
    registers,
  })
  for (const outcome of OUTCOMES) attempts.inc({ outcome }, 0)
  const count = async () => [...((await readWithin(() => store.countDeliveries())) ?? []).values()]
  new Gauge({
    name: 'ellipsis_broker_events_pending',
    help: 'Events that are not delivered yet, counted for each receiver.',
    aggregator: SHARED,
    registers,
    async collect() {
      this.set((await count()).reduce((sum, { pending }) => sum + pending, 0))
    },
  })
  new Gauge({
    name: 'ellipsis_broker_events_oldest_pending_seconds',
    help: 'Age of the oldest event that is not delivered yet; 0: nothing is pending.',
    aggregator: SHARED,
    registers,
    async collect() {
      const times = (await count()).flatMap(({ oldestPendingAt }) => oldestPendingAt ?? [])
      this.set(times.length === 0 ? 0 : (clock.now() - Math.min(...times)) / 1000)
    },
  })
  return (outcome) => attempts.inc({ outcome })
}
