import type { Delivery, EventType, Millis, Store, Webhook } from '../../db/store.ts'
import type { Actor } from '../admin/actor.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Clock, Random } from '../runtime.ts'
import type { Secret } from '../secret.ts'
import type { Attempt } from './sink.ts'

/** A webhook as people see it. */
export interface WebhookView extends Omit<Webhook, 'secret' | 'previousSecret'> {
  pending: number
  /** Given up, of the last 30 days. */
  failed: number
  /** When the oldest pending event happened. */
  oldestPendingAt: Millis | null
}

/** The key to verify messages with: shown once. */
export interface SigningSecret {
  /** `whsec_…` (`v1`, secret) or `whpk_…` (`v1a`, public). */
  key: Secret
  isPublic: boolean
}

export interface NewWebhook {
  url: string
  /** `client_id`; `null`: all events. */
  appId: string | null
  /** Empty: all. */
  types: EventType[]
  signing: Webhook['signing']
}

/** Endpoints, and what was delivered to them. Each change is in the audit log as `webhook.…`. */
export interface Webhooks {
  /** @throws BrokerError `invalid_request` with every problem: URL, app, types */
  add(settings: NewWebhook, actor: Actor): Promise<{ webhook: WebhookView; signing: SigningSecret }>
  list(): Promise<WebhookView[]>
  find(id: string): Promise<WebhookView | undefined>
  /** @throws BrokerError `invalid_request` if there is no such webhook */
  get(id: string): Promise<WebhookView>
  /** `false`: there is no such webhook. */
  remove(id: string, actor: Actor): Promise<boolean>
  /** Disabled ones get no events, also later: replay them. @throws BrokerError `invalid_request` */
  setEnabled(id: string, isEnabled: boolean, actor: Actor): Promise<WebhookView>
  /** A new key; both sign for 24 hours. @throws BrokerError `invalid_request` */
  rotateSecret(id: string, actor: Actor): Promise<SigningSecret>
  /** Sends `webhook.test` now, also to a disabled one. @throws BrokerError `invalid_request` */
  test(id: string): Promise<Attempt>
  /** Newest first. @param query.cursor `next` of the page before */
  listDeliveries(
    id: string,
    query: { status?: Delivery['status']; cursor: number | null; limit: number },
  ): Promise<{ rows: DeliveryView[]; next: number | null }>
  /** One delivery again. @throws BrokerError `invalid_request` if there is none, or its event is deleted */
  replay(deliveryId: number, actor: Actor): Promise<void>
  /** All events of a time range that match the webhook. Returns how many. @throws BrokerError `invalid_request` */
  replayRange(id: string, range: { from: Millis; to: Millis }, actor: Actor): Promise<number>
}

export interface DeliveryView extends Delivery {
  /** `null`: the event is deleted. */
  type: EventType | null
  /** `webhook-id`. */
  messageId: string | null
}

export function createWebhooks(_deps: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
}): Webhooks {
  throw new Error('not written yet')
}
