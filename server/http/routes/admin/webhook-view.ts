import { COMMAND_SINK_ID } from '../../../../db/event-types.ts'
import type { App, Delivery, DeliveryCounts } from '../../../../db/store.ts'
import type { AdminModels } from '../../../../views/admin/models.ts'
import type { Badge } from '../../../../views/admin/monitoring.ts'
import { EVENT_TEXTS } from '../../../events/event-texts.ts'
import type { DeliveryView } from '../../../events/webhook-deliveries.ts'
import type { WebhookView } from '../../../events/webhooks.ts'
import type { HttpServices } from '../../../services.ts'
import { pathOf as pathOfApp } from './apps.ts'
import { formatCount, formatNumber } from './format.ts'
import { fieldReader } from './request.ts'
import { webhookPath, type WebhookPath } from './webhook-path.ts'

/** What the pages of webhooks show. */

/** What the page of an endpoint or program shows above its deliveries. */
export type SinkFacts = Omit<
  AdminModels['admin/webhook'],
  'path' | 'deliveries' | 'statuses' | 'newer' | 'older' | 'range'
>
type Command = NonNullable<HttpServices['config']['onEvent']>

/** What was typed into the form. */
export interface WebhookForm {
  url: string
  app: string
  types: WebhookView['types']
  signing: WebhookView['signing']
}

/** The form, with what was typed. */
export const formOf = (
  form: WebhookForm,
  apps: App[],
  problem: string | null,
): AdminModels['admin/webhook-form'] => ({
  address: form.url,
  apps: apps.map(({ id, name }) => ({ value: id, label: name, selected: id === form.app })),
  types: Object.entries(EVENT_TEXTS).map(([value, about]) => ({
    value,
    about,
    checked: (form.types as string[]).includes(value),
  })),
  signings: Object.entries(SIGNINGS).map(([value, label]) => ({
    value,
    label,
    checked: value === form.signing,
  })),
  problem,
})

const SIGNINGS: Record<WebhookView['signing'], string> = {
  v1a: 'v1a: Ed25519. The receiver needs only a public key',
  v1: 'v1: HMAC-SHA-256, with a shared secret, which more libraries support',
}

/** A row of the list. */
export function rowOf(
  webhook: WebhookView,
  apps: App[],
): AdminModels['admin/webhooks']['rows'][number] {
  const { id, url, appId, types, createdAt } = webhook
  return {
    href: webhookPath(id),
    endpoint: url,
    app: appId === null ? null : (apps.find((app) => app.id === appId)?.name ?? appId),
    events: types.length === 0 ? 'All' : formatCount(types.length, 'type'),
    badge: badgeOf(webhook),
    createdAt,
  }
}

/** The state of an endpoint. */
function badgeOf({
  disabledAt,
  pending,
  failed,
}: Pick<WebhookView, 'disabledAt' | 'pending' | 'failed'>): Badge {
  if (disabledAt !== null) return { tone: 'bad', text: 'Disabled' }
  if (failed > 0) return { tone: 'warn', text: `${formatNumber(failed)} failed` }
  return pending > 0
    ? { tone: 'quiet', text: `${formatNumber(pending)} pending` }
    : { tone: 'good', text: 'Enabled' }
}

/** A row of the list, for the program of BROKER_ON_EVENT. */
export const commandRow = (
  { program }: Command,
  counts: DeliveryCounts,
): AdminModels['admin/webhooks']['rows'][number] => ({
  href: webhookPath(COMMAND_SINK_ID),
  endpoint: program,
  app: null,
  events: 'All',
  badge: badgeOf({ disabledAt: null, ...counts }),
  createdAt: null,
})

/** The state of the program. */
export const describeCommand = ({ program }: Command, counts: DeliveryCounts): SinkFacts => ({
  ...{ id: COMMAND_SINK_ID, endpoint: program, app: null, types: [], isEnabled: true },
  badge: badgeOf({ disabledAt: null, ...counts }),
  ...{ problem: null, signing: null, publicKey: null, previousUntil: null, createdAt: null },
})

/** The settings and state of an endpoint. */
export function describe(webhook: WebhookView, apps: App[], now: number): SinkFacts {
  const { id, url, appId, types, signing, publicKey, createdAt } = webhook
  const { disabledAt, disabledReason, previousSecretUntil: previousUntil } = webhook
  const app = apps.find((each) => each.id === appId)
  return {
    id,
    endpoint: url,
    badge: badgeOf(webhook),
    problem: disabledReason,
    isEnabled: disabledAt === null,
    app: appId === null ? null : { name: app?.name ?? appId, href: app ? pathOfApp(app.id) : null },
    types,
    signing: SIGNINGS[signing],
    publicKey,
    previousUntil: (previousUntil ?? 0) > now ? previousUntil : null,
    createdAt,
  }
}

const STATUSES: Record<Delivery['status'], Badge> = {
  pending: { tone: 'quiet', text: 'Pending' },
  delivered: { tone: 'good', text: 'Delivered' },
  failed: { tone: 'bad', text: 'Failed' },
}

export const deliveryView = (
  { id, type, status, createdAt, attempts, answer, error, nextAt }: DeliveryView,
  { isEnabled }: Pick<SinkFacts, 'isEnabled'>,
  path: WebhookPath,
  now: number,
): AdminModels['admin/webhook']['deliveries'][number] => ({
  id: String(id),
  type: type ?? 'deleted event',
  badge: STATUSES[status],
  createdAt,
  attempts: formatNumber(attempts),
  answer: capitalize(error ?? (answer === null ? '–' : `status ${answer}`)),
  nextAt: nextAt !== null && nextAt > now ? nextAt : null,
  next: status !== 'pending' ? '–' : nextAt === null ? 'After an earlier event' : 'Now',
  replay: status === 'pending' || !isEnabled ? null : `${path}/deliveries/${id}/replay`,
})

const capitalize = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** Which deliveries a page lists, from its query. */
export function readDeliveryQuery(query: unknown): {
  status?: Delivery['status']
  cursor: number | null
} {
  const field = fieldReader(query)
  const status = Object.keys(STATUSES).find((each) => each === field('status'))
  return {
    ...(status !== undefined && { status: status as Delivery['status'] }),
    cursor: /^\d{1,15}$/.test(field('before')) ? Number(field('before')) : null,
  }
}

/** Relative to the page of the endpoint. */
export const pageUrl = (status: string | undefined, before: number | null): string => {
  const fields = { ...(status && { status }), ...(before !== null && { before: String(before) }) }
  return `?${new URLSearchParams(fields).toString()}#deliveries`
}

export const statusLinks = (path: WebhookPath, current: string | undefined) =>
  [['All', undefined] as const, ...statusEntries()].map(([label, status]) => ({
    label,
    href: `${path}${pageUrl(status, null)}`,
    isCurrent: status === current,
  }))

const statusEntries = () =>
  Object.entries(STATUSES).map(([status, { text }]) => [text, status] as const)
