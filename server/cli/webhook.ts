import { Command, Option } from 'commander'
import type { Delivery, EventType } from '../../db/store.ts'
import { EVENT_TYPE_NAMES } from '../events/event-texts.ts'
import type { SigningSecret } from '../events/signature.ts'
import type { DeliveryView } from '../events/webhook-deliveries.ts'
import type { WebhookView } from '../events/webhooks.ts'
import { CommandError } from '../operate/messages.ts'
import { ACTOR, withServices } from './with-services.ts'
import { UsageError, formatTime, parseTime, print, printJson, printTable } from './terminal.ts'

interface Flags {
  app?: string
  event?: EventType[]
  signature?: 'v1a' | 'v1'
  status?: Delivery['status']
  delivery?: string
  from?: string
  to?: string
  json?: boolean
}

const MAX_DELIVERIES = 100

/** `webhook`: the URLs that events are sent to. */
export function webhookCommand(): Command {
  const webhook = new Command('webhook').description('manage the URLs that events are sent to')

  webhook
    .command('add <url>')
    .description('send events to a URL; prints the key that verifies them')
    .option('--app <client_id>', 'only events of the grants of this app')
    .addOption(
      new Option(
        '--event <type...>',
        'only these types, such as connection.revoked (default: all)',
      ).choices(EVENT_TYPE_NAMES),
    )
    .addOption(
      new Option('--signature <scheme>', 'v1a: Ed25519, with a public key; v1: HMAC, with a secret')
        .choices(['v1a', 'v1'])
        .default('v1a'),
    )
    .option('--json', 'print JSON')
    .action(add)

  webhook
    .command('list')
    .description('list the endpoints')
    .option('--json', 'print JSON')
    .action(({ json }: Flags) =>
      withServices(async ({ webhooks }) => {
        const all = (await webhooks.list()).map(toJson)
        if (json) return printJson(all)
        printTable(all.map(toRow), 'No endpoints yet. Add one with `webhook add URL`.')
      }),
    )

  webhook
    .command('show <id>')
    .description('show an endpoint')
    .option('--json', 'print JSON')
    .action((id: string, { json }: Flags) =>
      withServices(async ({ webhooks }) => {
        const fields = toJson(await webhooks.get(id))
        if (json) return printJson(fields)
        for (const [key, value] of Object.entries(fields)) {
          print(
            `${key.padEnd(24)}${Array.isArray(value) ? value.join(' ') || 'all' : (value ?? '-')}`,
          )
        }
      }),
    )

  webhook
    .command('deliveries <id>')
    .description(
      `list the latest ${MAX_DELIVERIES} deliveries to an endpoint, or with the id \`command\` to the program of BROKER_ON_EVENT`,
    )
    .addOption(
      new Option('--status <status>', 'only these').choices(['pending', 'delivered', 'failed']),
    )
    .option('--json', 'print JSON')
    .action(deliveries)

  webhook
    .command('test <id>')
    .description('send a test event to an endpoint')
    .action((id: string) =>
      withServices(async ({ webhooks }) => {
        const { outcome, answer, error } = await webhooks.test(id, ACTOR)
        const reason = error ?? `status ${answer}`
        if (outcome !== 'delivered') throw new CommandError('webhook.test.failed', { reason })
        print(`Delivered. The endpoint answered with status ${answer}.`)
      }),
    )

  webhook
    .command('replay <id>')
    .description(
      'send events to an endpoint, or to `command`, again: one delivery, or those of a time range',
    )
    .option('--delivery <number>', 'this delivery')
    .option('--from <time>', 'events from this time on, such as 2026-01-31T08:00Z')
    .option('--to <time>', 'until this time (default: now)')
    .action(replay)

  webhook
    .command('rotate-secret <id>')
    .description('sign with a new key; for 24 hours, the old one signs too')
    .option('--json', 'print JSON')
    .action((id: string, { json }: Flags) =>
      withServices(async ({ webhooks }) => {
        const signing = await webhooks.rotateSecret(id, ACTOR)
        if (json) return printJson({ id, ...keyToJson(signing) })
        printKey(signing)
        print('For 24 hours the old key signs too, so that receivers can change it.')
      }),
    )

  for (const [name, isEnabled, description] of [
    ['enable', true, 'send events to an endpoint from now on'],
    ['disable', false, 'send no events to an endpoint; those of that time can be replayed'],
  ] as const) {
    webhook
      .command(`${name} <id>`)
      .description(description)
      .action((id: string) =>
        withServices(async ({ webhooks }) => {
          await webhooks.setEnabled(id, isEnabled, ACTOR)
          print(`${id} is ${name}d.`)
        }),
      )
  }

  webhook
    .command('remove <id>')
    .description('remove an endpoint and its deliveries')
    .action((id: string) =>
      withServices(async ({ webhooks }) => {
        if (!(await webhooks.remove(id, ACTOR))) throw new UsageError(`There is no webhook ${id}.`)
        print(`Removed ${id}. It gets no more events.`)
      }),
    )
  return webhook
}

async function add(url: string, { app, event, signature = 'v1a', json }: Flags): Promise<void> {
  await withServices(async ({ webhooks }) => {
    const settings = { url, appId: app ?? null, types: event ?? [], signing: signature }
    const { webhook, signing } = await webhooks.add(settings, ACTOR)
    if (json) return printJson({ ...toJson(webhook), ...keyToJson(signing) })
    print(`id          ${webhook.id}`)
    printKey(signing)
    print('docs/events.md shows how. Send a test event:')
    print(`  ellipsis-broker webhook test ${webhook.id}`)
  })
}

function printKey({ key, isPublic }: SigningSecret): void {
  print(`${isPublic ? 'public key' : 'secret'.padEnd(10)}  ${key.reveal()}\n`)
  print(
    isPublic
      ? 'Receivers verify the signature of each event (webhook-signature) with this public key.'
      : 'Receivers verify the signature of each event (webhook-signature) with this secret. It is shown only once.',
  )
}

async function deliveries(id: string, { status, json }: Flags): Promise<void> {
  await withServices(async ({ webhooks }) => {
    const page = { cursor: null, limit: MAX_DELIVERIES, ...(status && { status }) }
    const { rows } = await webhooks.listDeliveries(id, page)
    const all = rows.map(deliveryToJson)
    if (json) return printJson(all)
    printTable(all.map(deliveryToRow), 'No deliveries.')
  })
}

async function replay(id: string, { delivery, from, to }: Flags): Promise<void> {
  await withServices(async ({ webhooks, clock }) => {
    if ((delivery === undefined) === (from === undefined)) {
      throw new UsageError('Use either --delivery or --from.')
    }
    if (to !== undefined && from === undefined) throw new UsageError('--to needs --from.')
    if (from !== undefined) {
      const range = {
        from: parseTime('--from', from),
        to: to === undefined ? clock.now() : parseTime('--to', to),
      }
      const count = await webhooks.replayRange(id, range, ACTOR)
      return print(
        `The broker sends ${count} ${count === 1 ? 'event' : 'events'} again, and tries pending ones now.`,
      )
    }
    if (!/^\d{1,15}$/.test(delivery ?? '')) {
      throw new UsageError('--delivery takes a number, as `webhook deliveries` prints it.')
    }
    await webhooks.replay(id, Number(delivery), ACTOR)
    print('The broker sends the event again.')
  })
}

const keyToJson = ({ key, isPublic }: SigningSecret) =>
  isPublic ? { public_key: key.reveal() } : { secret: key.reveal() }

const toJson = (webhook: WebhookView) => ({
  id: webhook.id,
  url: webhook.url,
  client_id: webhook.appId,
  types: webhook.types,
  signature: webhook.signing,
  public_key: webhook.publicKey,
  pending: webhook.pending,
  failed: webhook.failed,
  oldest_pending_at: formatTime(webhook.oldestPendingAt),
  created_at: formatTime(webhook.createdAt),
  old_key_signs_until: formatTime(webhook.previousSecretUntil),
  disabled_at: formatTime(webhook.disabledAt),
  disabled_reason: webhook.disabledReason,
})

const toRow = (webhook: ReturnType<typeof toJson>) => ({
  id: webhook.id,
  url: webhook.url,
  app: webhook.client_id ?? 'all',
  events: webhook.types.join(' ') || 'all',
  status: webhook.disabled_at === null ? 'enabled' : 'disabled',
  pending: String(webhook.pending),
  failed: String(webhook.failed),
})

const deliveryToJson = (delivery: DeliveryView) => ({
  delivery: delivery.id,
  event_id: delivery.messageId,
  type: delivery.type,
  status: delivery.status,
  attempts: delivery.attempts,
  answer: delivery.answer,
  error: delivery.error,
  created_at: formatTime(delivery.createdAt),
  attempted_at: formatTime(delivery.attemptedAt),
  next_attempt_at: formatTime(delivery.nextAt),
})

const deliveryToRow = (delivery: ReturnType<typeof deliveryToJson>) => ({
  delivery: String(delivery.delivery),
  type: delivery.type ?? '(deleted)',
  status: delivery.status,
  attempts: String(delivery.attempts),
  answer: delivery.error ?? String(delivery.answer ?? '-'),
  created: delivery.created_at,
  next_attempt: delivery.next_attempt_at ?? '-',
})
