import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { App, ConnectionFilter, BulkItem, BulkRevocation } from '../../../../db/store.ts'
import type { Badge, BulkItemView, BulkView } from '../../../../views/admin/monitoring.ts'
import type { BulkRevocationDetails } from '../../../connections/bulk-revocation.ts'
import type { HttpServices } from '../../../services.ts'
import { actorText } from './event-text.ts'
import { sendExport } from './export.ts'
import { formatNumber } from './format.ts'
import { byAdmin, fieldReader } from './request.ts'
import { readUserFilter } from './user-query.ts'

/** More than a page of users shows. */
const MAX_SELECTED = 500

/** Actions on many users at once: bulk revocation and export. */
export const bulkRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { bulks, apps, exports } = services

  app.get('/bulk', async (_request, reply) => {
    const all = await apps.list()
    return reply.show('admin/bulks', {
      rows: (await bulks.list()).map((bulk) => ({
        path: `/admin/bulk/${bulk.id}`,
        selection: selectionText(bulk.filter, all),
        badge: STATUSES[bulk.status],
        actor: actorText(bulk.actor),
        isConfirmed: bulk.startedAt !== null,
        createdAt: bulk.createdAt,
        progress: `${formatNumber(bulk.revoked)} of ${formatNumber(bulk.total)}`,
      })),
    })
  })

  app.post('/bulk', async (request, reply) => {
    const selection = selectionOf(request)
    if (Array.isArray(selection) && selection.length === 0) {
      return reply.done('/admin/users', 'No users selected. Nothing was revoked.', 'problem')
    }
    const id = await bulks.begin(selection, byAdmin(request))
    return reply.redirect(`${services.config.basePath}/admin/bulk/${id}`, 303)
  })

  app.get('/bulk/:id', async (request, reply) => {
    const found = await find(request)
    return found ? reply.show('admin/bulk', viewOf(found, await apps.list())) : missing(reply)
  })

  const pageAfterwards = ({ url }: FastifyRequest): string => url.replace(/\/confirm(?=$|\?)/, '')
  app.post('/bulk/:id/confirm', { config: { fresh: pageAfterwards } }, async (request, reply) => {
    const found = await find(request)
    if (!found) return missing(reply)
    const { id } = found.bulk
    const message = (await bulks.confirm(id, byAdmin(request)))
      ? 'The revocation has started. It continues if you leave this page.'
      : 'It was already confirmed or cancelled.'
    return reply.done(`/admin/bulk/${id}`, message)
  })

  app.post('/bulk/:id/cancel', async (request, reply) => {
    const found = await find(request)
    if (!found) return missing(reply)
    const { id } = found.bulk
    const path = `/admin/bulk/${id}` as const
    // A page loaded before the confirmation must not stop a running revocation.
    const running = fieldReader(request.body)('seen') === 'running'
    if (await bulks.cancel(id, byAdmin(request), { running })) {
      return reply.done(path, 'Cancelled. Connections that were already revoked stay revoked.')
    }
    return (await bulks.find(id))?.bulk.status === 'running'
      ? reply.done(path, 'It was confirmed in the meantime. Select Stop to stop it.', 'problem')
      : reply.done(path, 'It was already finished or cancelled.')
  })

  // Viewers may export what they can see; the only change is the event of the export.
  app.post('/users/export', { config: { own: true } }, async (request, reply) => {
    const filter = readUserFilter(request.body)
    const write = (format: 'csv' | 'jsonl') => exports.users(filter, format, byAdmin(request))
    return sendExport(request, reply, 'users', write, services)
  })

  const missing = (reply: FastifyReply) => reply.missing('This bulk revocation does not exist.')

  const find = async ({ params }: FastifyRequest): Promise<BulkRevocationDetails | undefined> => {
    const { id } = params as { id: string }
    return /^\d{1,15}$/.test(id) ? bulks.find(Number(id)) : undefined
  }
}

/** The selected ids, or the filter for all matches. */
function selectionOf({ body }: FastifyRequest): string[] | ConnectionFilter {
  const { which, id } = body as { which?: unknown; id?: unknown }
  if (which === 'all') return readUserFilter(body)
  return [id]
    .flat()
    .filter((each) => typeof each === 'string')
    .slice(0, MAX_SELECTED)
}

const STATUSES: Record<BulkRevocation['status'], Badge> = {
  collecting: { tone: 'quiet', text: 'Collecting' },
  ready: { tone: 'warn', text: 'Waiting for confirmation' },
  running: { tone: 'quiet', text: 'Running' },
  done: { tone: 'good', text: 'Done' },
  cancelled: { tone: 'quiet', text: 'Cancelled' },
}

const TITLES: Record<BulkRevocation['status'], string> = {
  collecting: 'Collecting connections',
  ready: 'Revoke these connections?',
  running: 'Revoking',
  done: 'Revoked',
  cancelled: 'Revocation cancelled',
}

function viewOf(
  { bulk, sample, failed, erasurePending }: BulkRevocationDetails,
  apps: App[],
): BulkView {
  const processedCount = bulk.revoked + bulk.skipped + bulk.failed
  const formatPositive = (count: number) => (count === 0 ? null : formatNumber(count))
  return {
    path: `/admin/bulk/${bulk.id}`,
    title: TITLES[bulk.status],
    status: bulk.status,
    selection: selectionText(bulk.filter, apps),
    actor: actorText(bulk.actor),
    createdAt: bulk.createdAt,
    startedAt: bulk.startedAt,
    endedAt: bulk.endedAt,
    total: formatNumber(bulk.total),
    totalCount: bulk.total,
    processedCount,
    revoked: formatNumber(bulk.revoked),
    anyRevoked: bulk.revoked > 0,
    skipped: formatPositive(bulk.skipped),
    failed: formatPositive(bulk.failed),
    remaining: formatNumber(bulk.total - processedCount),
    problem: bulk.trouble,
    sample: sample.map(itemView),
    more: formatPositive(bulk.total - sample.length),
    failures: failed.map((item) => ({ ...itemView(item), error: String(item.error) })),
    moreFailures: formatPositive(bulk.failed - failed.length),
    erasurePending,
  }
}

const itemView = ({ connectionId, username }: BulkItem): BulkItemView => ({
  name: username || connectionId,
  path: `/admin/users/${encodeURIComponent(connectionId)}`,
})

/** The selected connections, in words. */
function selectionText(filter: ConnectionFilter | null, apps: App[]): string {
  if (!filter) return 'Selected individually'
  const { search, statuses, appId } = filter
  const onlyStatus = statuses.length === 1 ? statuses[0] : null
  const app = apps.find(({ id }) => id === appId)?.name ?? appId
  const parts = [
    onlyStatus === 'needs_reconnect' ? 'that need reconnecting' : null,
    onlyStatus === 'active' ? 'that work' : null,
    appId === null ? null : `with the app ${app}`,
    search === null ? null : `matching “${search}”`,
  ].filter((part) => part !== null)
  return ['All connections', parts.join(', ')].join(' ').trim()
}
