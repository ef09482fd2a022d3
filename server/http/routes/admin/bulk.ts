import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { App, ConnectionFilter, BulkItem, BulkRevocation } from '../../../../db/store.ts'
import type { BulkItemView, BulkView } from '../../../../views/admin/oversight.ts'
import type { BulkRevocationDetails } from '../../../connections/bulk-revocation.ts'
import type { HttpServices } from '../../../services.ts'
import { byAdmin } from './actor.ts'
import { actorText } from './event-text.ts'
import { sendExport } from './export.ts'
import { formOf } from './form.ts'
import { number } from './usage-view.ts'
import { readUserFilter } from './user-filter.ts'

/** As many as a page of users shows, and more. */
const MOST_PICKED = 500

/** What is done to many users at once: revoke, and export. */
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
        selection: selectionWords(bulk.filter, all),
        status: STATUSES[bulk.status],
        actor: actorText(bulk.actor),
        isConfirmed: bulk.startedAt !== null,
        createdAt: bulk.createdAt,
        progress: `${number.format(bulk.revoked)} of ${number.format(bulk.total)}`,
      })),
    })
  })

  app.post('/bulk', async (request, reply) => {
    const selection = selectionOf(request)
    if (Array.isArray(selection) && selection.length === 0) {
      return reply.done('/admin/users', 'Nobody was selected, so nothing was revoked.', 'problem')
    }
    const id = await bulks.begin(selection, byAdmin(request))
    return reply.redirect(`${services.config.basePath}/admin/bulk/${id}`, 303)
  })

  app.get('/bulk/:id', async (request, reply) => {
    const shown = await find(request)
    if (!shown) return reply.missing('There is no such bulk revocation.')
    return reply.show('admin/bulk', viewOf(shown, await apps.list()))
  })

  app.post('/bulk/:id/confirm', async (request, reply) => {
    const shown = await find(request)
    if (!shown) return reply.missing('There is no such bulk revocation.')
    const { id } = shown.bulk
    const words = (await bulks.confirm(id, byAdmin(request)))
      ? 'The revocation has begun. It goes on if you leave this page.'
      : 'It was confirmed or cancelled before.'
    return reply.done(`/admin/bulk/${id}`, words)
  })

  app.post('/bulk/:id/cancel', async (request, reply) => {
    const shown = await find(request)
    if (!shown) return reply.missing('There is no such bulk revocation.')
    const { id } = shown.bulk
    const path = `/admin/bulk/${id}` as const
    // A page from before somebody confirmed it means to keep it from beginning, not to stop it half-way.
    const running = formOf(request)('seen') === 'running'
    if (await bulks.cancel(id, byAdmin(request), { running })) {
      return reply.done(path, 'Cancelled. Who had been revoked stays revoked.')
    }
    return (await bulks.find(id))?.bulk.status === 'running'
      ? reply.done(path, 'It has been confirmed meanwhile; stop it here if you mean to.', 'problem')
      : reply.done(path, 'It had ended before.')
  })

  // It changes nothing but the audit log: who looks may take along what is shown.
  app.post('/users/export', { config: { own: true } }, async (request, reply) => {
    const filter = readUserFilter(request.body)
    const write = (format: 'csv' | 'jsonl') => exports.users(filter, format, byAdmin(request))
    return sendExport(request, reply, 'users', write, services)
  })

  const find = async ({ params }: FastifyRequest): Promise<BulkRevocationDetails | undefined> => {
    const { id } = params as { id: string }
    return /^\d{1,15}$/.test(id) ? bulks.find(Number(id)) : undefined
  }
}

/** Those that were ticked, or all that match. */
function selectionOf({ body }: FastifyRequest): string[] | ConnectionFilter {
  const { which, id } = body as { which?: unknown; id?: unknown }
  if (which === 'all') return readUserFilter(body)
  return [id]
    .flat()
    .filter((each) => typeof each === 'string')
    .slice(0, MOST_PICKED)
}

const STATUSES: Record<BulkRevocation['status'], string> = {
  collecting: 'Being collected',
  ready: 'Waits to be confirmed',
  running: 'Under way',
  done: 'Done',
  cancelled: 'Cancelled',
}

const TITLES: Record<BulkRevocation['status'], string> = {
  collecting: 'Collecting who is meant',
  ready: 'Revoke these connections?',
  running: 'Revoking',
  done: 'Revoked',
  cancelled: 'Revocation cancelled',
}

function viewOf(
  { bulk, sample, failed, erasurePending }: BulkRevocationDetails,
  apps: App[],
): BulkView {
  const done = bulk.revoked + bulk.skipped + bulk.failed
  const some = (count: number) => (count === 0 ? null : number.format(count))
  return {
    path: `/admin/bulk/${bulk.id}`,
    title: TITLES[bulk.status],
    status: bulk.status,
    selection: selectionWords(bulk.filter, apps),
    actor: actorText(bulk.actor),
    createdAt: bulk.createdAt,
    startedAt: bulk.startedAt,
    endedAt: bulk.endedAt,
    total: number.format(bulk.total),
    of: bulk.total,
    done,
    revoked: number.format(bulk.revoked),
    anyRevoked: bulk.revoked > 0,
    skipped: some(bulk.skipped),
    failed: some(bulk.failed),
    left: number.format(bulk.total - done),
    trouble: bulk.trouble,
    sample: sample.map(itemView),
    more: some(bulk.total - sample.length),
    failures: failed.map((item) => ({ ...itemView(item), error: String(item.error) })),
    moreFailures: some(bulk.failed - failed.length),
    erasurePending,
  }
}

const itemView = ({ connectionId, username }: BulkItem): BulkItemView => ({
  name: username || connectionId,
  path: `/admin/users/${encodeURIComponent(connectionId)}`,
})

/** Who is meant, in words. */
function selectionWords(filter: ConnectionFilter | null, apps: App[]): string {
  if (!filter) return 'Picked one by one'
  const { search, statuses, appId } = filter
  const only = statuses.length === 1 ? statuses[0] : null
  const app = apps.find(({ id }) => id === appId)?.name ?? appId
  const parts = [
    only === 'needs_reconnect' ? 'in need of reconnecting' : null,
    appId === null ? null : `with the app ${app}`,
    search === null ? null : `found by “${search}”`,
  ].filter((part) => part !== null)
  const all = only === 'active' ? 'All healthy connections' : 'All connections'
  return parts.length === 0 ? all : `${all} ${parts.join(', ')}`
}
