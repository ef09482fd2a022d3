import type { FastifyPluginAsync } from 'fastify'
import type { App, Event, EventFilter } from '../../../../db/store.ts'
import type { AuditRow } from '../../../../views/admin/oversight.ts'
import type { HttpServices } from '../../../services.ts'
import { byAdmin } from './actor.ts'
import { actionChoices, auditText } from './audit-text.ts'
import { actorText } from './event-text.ts'
import { sendExport } from './export.ts'
import { plainName } from './name.ts'

const ROWS = 50
const DAY = 86_400_000

/** Who did what to whom, from where. */
export const auditRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { events, apps, admins, exports, config } = services
  const page = `${config.basePath}/admin/audit`

  app.get('/audit', async (request, reply) => {
    const asked = readAsked(request.query)
    const query = { filter: filterOf(asked), cursor: asked.from_event || null, limit: ROWS }
    const [found, all, people] = await Promise.all([
      events.browse(query),
      apps.list(),
      admins.list(),
    ])
    const address = (from_event: string) =>
      `${page}?${new URLSearchParams(given({ ...asked, from_event })).toString()}`
    return reply.show('admin/audit', {
      action: page,
      filter: asked,
      actors: people.map(({ email }) => email),
      actions: actionChoices(asked.action),
      apps: all.map(({ id, name }) => ({ value: id, words: name, selected: id === asked.app })),
      rows: rowsOf(found, all),
      newer: found.newer && address(found.newer),
      older: found.older && address(found.older),
      searchedTo: found.searchedTo,
      narrowed: Object.keys(given({ ...asked, from_event: '' })).length > 0,
      fields: Object.entries(given({ ...asked, from_event: '' })).map(([name, value]) => ({
        name,
        value,
      })),
      days: config.eventDays,
    })
  })

  // It changes nothing but this log: who looks may take along what is shown.
  app.post('/audit/export', { config: { own: true } }, async (request, reply) => {
    const filter = filterOf(readAsked(request.body))
    const write = (format: 'csv' | 'jsonl') => exports.events(filter, format, byAdmin(request))
    return sendExport(request, reply, 'audit-log', write, services)
  })
}

/** What the address of the list, or the form of an export, says. */
type Asked = Record<
  'actor' | 'action' | 'app' | 'connection' | 'from' | 'to' | 'from_event',
  string
>

/** Anything may be in an address, or a form: what makes no sense is as if it weren't there. */
function readAsked(query: unknown): Asked {
  const fields = query as Record<string, unknown>
  const text = (name: string) => {
    const value = fields[name]
    return typeof value === 'string' ? value.trim().slice(0, 300) : ''
  }
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

const given = (asked: Asked): Record<string, string> =>
  Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== ''))

const filterOf = ({ actor, action, app, connection, from, to }: Asked): EventFilter => ({
  // An admin is asked for as the list shows them.
  actor: actor.replace(/^(?!admin:)(?=.*@)/, 'admin:') || null,
  action: action || null,
  appId: app || null,
  connectionId: connection || null,
  from: from === '' ? null : Date.parse(from),
  // To the end of that day.
  to: to === '' ? null : Date.parse(to) + DAY,
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
      who: actorText(actor),
      words: auditText(event, app),
      user: user || null,
      address,
    }
  })
}
