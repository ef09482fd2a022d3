import type { Delivery, Millis, NewEvent, Webhook } from '../model.ts'

export interface WebhookStore {
  addWebhook(webhook: Webhook, events: NewEvent[]): Promise<void>
  getWebhook(id: string): Promise<Webhook | undefined>
  /** The oldest first. */
  listWebhooks(): Promise<Webhook[]>
  /**
   * Replaces a webhook that is still as it was read (`before`). `after` `null` removes it. Secrets that are no
   * longer used are overwritten. `false`: it was changed or removed since.
   */
  updateWebhook(before: Webhook, after: Webhook | null, events: NewEvent[]): Promise<boolean>
  /** The newest first. */
  listDeliveries(query: {
    sinkId: string
    status?: Delivery['status']
    /** The id of the last delivery of the page before; `null`: the first page. */
    before: number | null
    limit: number
  }): Promise<Delivery[]>
  getDelivery(id: number): Promise<Delivery | undefined>
  /** Pending and failed deliveries, by sink; sinks without any are left out. */
  countDeliveries(): Promise<Map<string, DeliveryCounts>>
}

/** Of one sink. */
export interface DeliveryCounts {
  pending: number
  /** Given up, of the last 30 days. */
  failed: number
  /** When the first pending one, by id, was created: a replay counts as its creation. */
  oldestPendingAt: Millis | null
}

/** A delivery to be added. */
export type NewDelivery = Pick<Delivery, 'sinkId' | 'eventId' | 'connectionId' | 'createdAt'>

/**
 * Events on their way out: the audit log is the outbox, and one process at a time, the owner of the lease, gives its
 * new events to the sinks and delivers them. A crash may repeat a delivery. Changes need not survive the loss of
 * power, because they are repeated then.
 */
export interface OutboxStore {
  /**
   * Is there an event that was not given to the sinks, or a delivery that is due? Also before the
   * first `takeOutbox`: the outbox begins with the events after that, or after the first `addWebhook` or
   * `replayDeliveries`. An event that is written at the same time may be among them.
   */
  hasOutboxWork(now: Millis): Promise<boolean>
  /**
   * Takes the lease for `forMs` milliseconds, or extends it. The store measures it by its own clock; a lease that
   * ends later than that counts as ended. A delivery that is due more than `maxPauseMs` after `now` becomes due:
   * the clock was wrong.
   * @param lease.deadOwner an owner whose process has died
   * @returns the id of the last event that was given to the sinks; or the owner of the lease, if it is another
   */
  takeOutbox(lease: {
    owner: string
    forMs: number
    now: Millis
    maxPauseMs: number
    deadOwner: string | null
  }): Promise<{ lastEventId: number } | { owner: string }>
  releaseOutbox(owner: string): Promise<void>
  /**
   * Adds deliveries of the events after `lastEventId` up to `readTo`. A delivery becomes due at once, or when the
   * earlier ones of its sink and connection have ended; those without a connection wait for each other too. One
   * delivery for each sink and event: another one is ignored. `false`: the lease or the position was another.
   */
  fillOutbox(batch: {
    owner: string
    lastEventId: number
    readTo: number
    deliveries: NewDelivery[]
  }): Promise<boolean>
  /** Sinks with deliveries that are due. */
  listDueSinks(now: Millis): Promise<string[]>
  /** Those that have been due the longest come first. */
  listDueDeliveries(query: { sinkId: string; now: Millis; limit: number }): Promise<Delivery[]>
  /**
   * Records an attempt of a pending delivery. If it ends, the next one of the connection becomes due. `false`: the
   * lease or the state of the delivery was another.
   */
  recordAttempt(attempt: {
    id: number
    owner: string
    expectedAttempts: number
    outcome: Pick<Delivery, 'status' | 'nextAt' | 'answer' | 'error'> & { attemptedAt: Millis }
  }): Promise<boolean>
  /**
   * Gives up pending deliveries of a sink, `limit` at most. Returns how many. What waited for them is due at once.
   * @param sink.upTo only of events up to this one; left out: of all
   */
  endDeliveries(sink: {
    sinkId: string
    error: string
    limit: number
    upTo?: number
  }): Promise<number>
  /**
   * Delivers events again, or for the first time: those that have ended become pending, and those that are
   * missing are added. Returns how many. A pending one that waits for its next attempt gets it now, and does not count.
   * `events` are written if any of them changed.
   */
  replayDeliveries(deliveries: NewDelivery[], events: NewEvent[]): Promise<number>
}
