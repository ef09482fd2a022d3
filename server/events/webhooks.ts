import { associatedData } from '../../db/associated-data.ts'
import { COMMAND_SINK_ID } from '../../db/event-types.ts'
import type { DeliveryCounts, NewEvent, Store, Webhook } from '../../db/store.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import { newId } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'
import { BrokerError } from '../errors.ts'
import type { PublicRequests } from '../public-request.ts'
import type { Clock, Random } from '../runtime.ts'
import type { Secret } from '../secret.ts'
import { ENDED } from './dispatcher.ts'
import { testMessage } from './message.ts'
import { newSigningKey, publicKeyOf, shownKey } from './signature.ts'
import type { SigningSecret } from './signature.ts'
import type { Attempt, EventSink } from './sink.ts'
import { createWebhookDeliveries } from './webhook-deliveries.ts'
import type { SinkRow, WebhookDeliveries } from './webhook-deliveries.ts'
import { createWebhookSink } from './webhook-sink.ts'
import { checkWebhook } from './webhook-settings.ts'
import type { NewWebhook } from './webhook-settings.ts'

/** A webhook as people see it. */
export type WebhookView = Omit<Webhook, 'secret' | 'previousSecret' | 'afterEventId'> &
  DeliveryCounts

/**
 * Endpoints, and what was delivered to them. Each change is in the audit log as `webhook.…`. The deliveries of the
 * program of BROKER_ON_EVENT are listed and replayed in the same way, with `COMMAND_SINK_ID` as id.
 */
export interface Webhooks extends WebhookDeliveries {
  /** @throws BrokerError `invalid_request` with every problem: URL, app, types */
  add(settings: NewWebhook, actor: Actor): Promise<{ webhook: WebhookView; signing: SigningSecret }>
  list(): Promise<WebhookView[]>
  find(id: string): Promise<WebhookView | undefined>
  /** Deliveries to the program of BROKER_ON_EVENT. */
  countCommandDeliveries(): Promise<DeliveryCounts>
  /** @throws BrokerError `invalid_request` if there is no such webhook */
  get(id: string): Promise<WebhookView>
  /** `false`: there is no such webhook. */
  remove(id: string, actor: Actor): Promise<boolean>
  /**
   * Enables or disables. A disabled one gets no events, also not when it is enabled later: replay them.
   * @throws BrokerError `invalid_request` if there is no such webhook
   */
  setEnabled(id: string, isEnabled: boolean, actor: Actor): Promise<WebhookView>
  /** Creates a new key; both sign for 24 hours. @throws BrokerError `invalid_request` */
  rotateSecret(id: string, actor: Actor): Promise<SigningSecret>
  /** Sends `webhook.test` now, also to a disabled one. @throws BrokerError `invalid_request` */
  test(id: string, actor: Actor): Promise<Attempt>
  /** Where events go now: the webhooks that are enabled. */
  sinks(): Promise<EventSink[]>
  /** Disables one that wants no more events (HTTP 410). */
  disableGone(id: string): Promise<void>
}

/** Why an endpoint that wants no more events is disabled. */
export const GONE_REASON = 'the endpoint answered with status 410 (Gone)'
/** How long the old key signs too, after a rotation. */
const OVERLAP_MS = 24 * 60 * 60_000

export function createWebhooks(deps: {
  store: Store
  vault: Vault
  requests: PublicRequests
  clock: Clock
  random: Random
  /** Networks (CIDR) that are not public, and that webhooks may reach. */
  allowed: string[]
  /** Is there a program that gets events (`BROKER_ON_EVENT`)? */
  hasCommand: boolean
}): Webhooks {
  const { store, vault, clock, random, allowed, hasCommand } = deps

  const getStored = async (id: string): Promise<Webhook> => {
    const webhook = await store.getWebhook(id)
    if (webhook) return webhook
    throw new BrokerError('invalid_request', {
      description: `There is no webhook ${id}.`,
      reason: 'webhook_not_found',
    })
  }

  const view = async (webhook: Webhook): Promise<WebhookView> =>
    toView(webhook, await store.countDeliveries())

  const event = (actor: Actor, action: string, { id, url }: SinkRow, more = ''): NewEvent => ({
    ...actorFields(actor),
    at: clock.now(),
    action,
    details: `${id}${url === undefined ? '' : ` (${new URL(url).host})`}${more}`,
  })

  /** Changes the current state of a webhook by compare-and-swap. */
  const update = async (
    id: string,
    change: (before: Webhook) => { after: Webhook | null; events: NewEvent[] },
  ): Promise<Webhook | null> => {
    for (;;) {
      const before = await getStored(id)
      const { after, events } = change(before)
      if (after === before || (await store.updateWebhook(before, after, events))) return after
    }
  }

  /**
   * Enables a disabled one: it gets the events from now on. What was pending when it was disabled ends, in small
   * batches. The order of the steps matters: if it is still disabled when the last event is known, none of these
   * events came after it was enabled.
   */
  const enable = async (id: string, actor: Actor): Promise<void> => {
    const upTo = await store.lastEventId()
    if ((await getStored(id)).disabledAt === null) return
    while ((await store.endDeliveries({ sinkId: id, upTo, ...ENDED })) > 0);
    await setDisabled(id, { disabledAt: null, disabledReason: null, afterEventId: upTo }, actor)
  }

  /** A new key, with the fields that store it. */
  const createKey = (id: string, signing: Webhook['signing']) => {
    const key = newSigningKey(random)
    const secret = vault.seal(associatedData.webhookSecret(id), key)
    const publicKey = publicKeyOf(signing, key)
    return { fields: { secret, publicKey }, shown: shownKey(key, publicKey) }
  }

  const openKey = ({ id, secret }: Webhook): Secret =>
    vault.open(associatedData.webhookSecret(id), secret)

  const setDisabled = (
    id: string,
    disabled: Pick<Webhook, 'disabledAt' | 'disabledReason'> & Partial<Webhook>,
    actor: Actor,
  ) =>
    update(id, (before) => {
      const isSame = (before.disabledAt === null) === (disabled.disabledAt === null)
      if (isSame) return { after: before, events: [] }
      const action = disabled.disabledAt === null ? 'webhook.enabled' : 'webhook.disabled'
      const why = disabled.disabledReason === null ? '' : `: ${disabled.disabledReason}`
      return { after: { ...before, ...disabled }, events: [event(actor, action, before, why)] }
    })

  return {
    ...createWebhookDeliveries({ store, clock, getStored, event, hasCommand }),

    async add(settings, actor) {
      const app = settings.appId === null ? undefined : await store.getApp(settings.appId)
      checkWebhook(settings, { isAppKnown: app !== undefined, allowed })
      const id = newId(random, 'whk')
      const { fields, shown } = createKey(id, settings.signing)
      const webhook: Webhook = {
        ...settings,
        id,
        url: new URL(settings.url).href,
        ...fields,
        previousSecret: null,
        previousSecretUntil: null,
        createdAt: clock.now(),
        disabledAt: null,
        disabledReason: null,
        afterEventId: await store.lastEventId(),
      }
      const added = { ...event(actor, 'webhook.added', webhook), appId: webhook.appId }
      await store.addWebhook(webhook, [added])
      return { webhook: await view(webhook), signing: shown }
    },

    async list() {
      const counts = await store.countDeliveries()
      return (await store.listWebhooks()).map((webhook) => toView(webhook, counts))
    },

    countCommandDeliveries: async () =>
      (await store.countDeliveries()).get(COMMAND_SINK_ID) ?? NO_DELIVERIES,

    async find(id) {
      const webhook = await store.getWebhook(id)
      return webhook && view(webhook)
    },

    get: async (id) => view(await getStored(id)),

    async remove(id, actor) {
      if (!(await store.getWebhook(id))) return false
      await update(id, (before) => ({
        after: null,
        events: [event(actor, 'webhook.removed', before)],
      }))
      return true
    },

    async setEnabled(id, isEnabled, actor) {
      const name = actorFields(actor).actor.replace(/^admin:/, '')
      const disabled = { disabledAt: clock.now(), disabledReason: `disabled by ${name}` }
      await (isEnabled ? enable(id, actor) : setDisabled(id, disabled, actor))
      return view(await getStored(id))
    },

    async rotateSecret(id, actor) {
      const { signing } = await getStored(id)
      const { fields, shown } = createKey(id, signing)
      await update(id, (before) => ({
        after: {
          ...before,
          ...fields,
          previousSecret: vault.seal(associatedData.previousWebhookSecret(id), openKey(before)),
          previousSecretUntil: clock.now() + OVERLAP_MS,
        },
        events: [event(actor, 'webhook.secret_rotated', before)],
      }))
      return shown
    },

    async test(id, actor) {
      const webhook = await getStored(id)
      const sink = createWebhookSink(webhook, deps)
      const message = testMessage(random, clock.now())
      const attempt = await sink.deliver(message, new AbortController().signal)
      const result = `: ${attempt.error ?? `status ${attempt.answer}`}`
      await store.addEvents([event(actor, 'webhook.tested', webhook, result)])
      return attempt
    },

    async sinks() {
      const webhooks = await store.listWebhooks()
      return webhooks
        .filter(({ disabledAt }) => disabledAt === null)
        .map((webhook) => createWebhookSink(webhook, deps))
    },

    async disableGone(id) {
      const disabled = { disabledAt: clock.now(), disabledReason: GONE_REASON }
      await setDisabled(id, disabled, 'system')
    },
  }
}

function toView(
  { secret: _secret, previousSecret: _previous, afterEventId: _after, ...webhook }: Webhook,
  counts: Awaited<ReturnType<Store['countDeliveries']>>,
): WebhookView {
  const publicKey = webhook.publicKey === null ? null : `whpk_${webhook.publicKey}`
  return { ...webhook, publicKey, ...(counts.get(webhook.id) ?? NO_DELIVERIES) }
}

const NO_DELIVERIES: DeliveryCounts = { pending: 0, failed: 0, oldestPendingAt: null }
