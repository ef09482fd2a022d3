import type { FastifyPluginAsync } from 'fastify'
import type { App, Event, EventFilter } from '../../../../db/store.ts'
import type { AuditRow } from '../../../../views/admin/monitoring.ts'
import type { HttpServices } from '../../../services.ts'
import { actionChoices, actorText, auditText } from './event-text.ts'
import { sendExport } from './export.ts'
import { plainName } from './format.ts'
import { byAdmin, fieldReader } from './request.ts'

const ROWS_PER_PAGE = 50
const DAY_MS = 86_400_000
const MAX_FIELD_LENGTH_CHARS = 300

/** The audit log: search and export events. */
export const auditRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { events, apps, admins, exports, config } = services
  const page = `${config.basePath}/admin/audit`

  app.get('/audit', async (request, reply) => {
    const query = readAuditQuery(request.query)
    const [found, all, accounts] = await Promise.all([
      events.browse({
        filter: filterOf(query),
        cursor: query.from_event || null,
        limit: ROWS_PER_PAGE,
      }),
      apps.list(),
      admins.list(),
    ])
    const filterFields = nonEmpty({ ...query, from_event: '' })
    const pageUrl = (from_event: string) =>
      `${page}?${new URLSearchParams(nonEmpty({ ...query, from_event })).toString()}`
    return reply.show('admin/audit', {
      action: page,
      filter: query,
      actors: accounts.map(({ email }) => email),
      actions: actionChoices(query.action),
      apps: all.map(({ id, name }) => ({ value: id, label: name, selected: id === query.app })),
      rows: rowsOf(found, all),
      newer: found.newer && pageUrl(found.newer),
      older: found.older && pageUrl(found.older),
      searchedTo: found.searchedTo,
      isFiltered: Object.keys(filterFields).length > 0,
      fields: Object.entries(filterFields).map(([name, value]) => ({ name, value })),
      days: config.eventDays,
    })
  })

  // Viewers may export what they can see; the only change is the event of the export.
  app.post('/audit/export', { config: { own: true } }, async (request, reply) => {
    const filter = filterOf(readAuditQuery(request.body))
    const write = (format: 'csv' | 'jsonl') => exports.events(filter, format, byAdmin(request))
    return sendExport(request, reply, 'audit-log', write, services)
  })
}

/** The query of the log, or the fields of the export form. */
type AuditQuery = Record<
  'actor' | 'action' | 'app' | 'connection' | 'from' | 'to' | 'from_event',
  string
>

/** Reads a query or form. Invalid dates count as absent. */
function readAuditQuery(fields: unknown): AuditQuery {
  const field = fieldReader(fields)
  const text = (name: string) => field(name).trim().slice(0, MAX_FIELD_LENGTH_CHARS)
  const day = (name: string) =>
    /^\d{4}-\d\d-\d\d$/.test(text(name)) && !Number.isNaN(Date.parse(text(name))) ? text(name) : ''
  return {
    actor: text('actor'),
    action: text('action'),
    app: text('app'),
    connection: text('connection'),
    from: day('from'),
    to: day('to'),
    from_event: text('from_event'),
  }
}

const nonEmpty = (query: AuditQuery): Record<string, string> =>
  Object.fromEntries(Object.entries(query).filter(([, value]) => value !== ''))

const filterOf = ({ actor, action, app, connection, from, to }: AuditQuery): EventFilter => ({
  // The log shows admins by e-mail address only.
  actor: actor.replace(/^(?!admin:)(?=.*@)/, 'admin:') || null,
  action: action || null,
  appId: app || null,
  connectionId: connection || null,
  from: from === '' ? null : Date.parse(from),
  // The end of that day.
  to: to === '' ? null : Date.parse(to) + DAY_MS,
})

function rowsOf(
  { rows, usernames }: { rows: Event[]; usernames: Map<string, string> },
  apps: App[],
): AuditRow[] {
  return rows.map((event) => {
    const { at, actor, address, connectionId, appId } = event
    const app = plainName(apps.find(({ id }) => id === appId)?.name ?? appId ?? 'an app')
    const user = connectionId !== null && {
      name: usernames.get(connectionId) || connectionId,
      path: usernames.has(connectionId) ? `/admin/users/${encodeURIComponent(connectionId)}` : null,
    }
    return {
      at,
      actor: actorText(actor),
      text: auditText(event, app),
      user: user || null,
      address,
    }
  })
}
