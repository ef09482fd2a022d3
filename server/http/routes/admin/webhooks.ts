import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { COMMAND_SINK_ID } from '../../../../db/event-types.ts'
import { EVENT_TYPE_NAMES } from '../../../events/event-texts.ts'
import type { SigningSecret } from '../../../events/signature.ts'
import type { WebhookView } from '../../../events/webhooks.ts'
import type { HttpServices } from '../../../services.ts'
import { hereAfterwards } from '../../plugins/session.ts'
import { formatCount } from './format.ts'
import { byAdmin, fieldReader, validationMessage } from './request.ts'
import {
  commandRow,
  deliveryView,
  describe,
  describeCommand,
  formOf,
  pageUrl,
  readDeliveryQuery,
  rowOf,
  statusLinks,
} from './webhook-view.ts'
import { WEBHOOKS_PATH, webhookPath } from './webhook-path.ts'
import type { SinkFacts, WebhookForm } from './webhook-view.ts'
import type { WebhookPath } from './webhook-path.ts'

const ROWS_PER_PAGE = 50
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** Endpoints that get events: list, add, show with their deliveries, change, remove. */
export const webhooksRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { webhooks, apps, clock, config: settings } },
) => {
  // An endpoint learns of every user, and its key makes receivers believe what they get.
  const config = { fresh: hereAfterwards }

  /** Runs `work` with the endpoint of the URL, or sends 404. */
  const withWebhook = async (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (webhook: WebhookView, path: WebhookPath) => Promise<unknown>,
  ): Promise<unknown> => {
    const webhook = await webhooks.find((request.params as { webhookId: string }).webhookId)
    return webhook
      ? work(webhook, webhookPath(webhook.id))
      : reply.missing('This endpoint does not exist or was removed.')
  }

  /** The same for what the program of BROKER_ON_EVENT has, too: deliveries. */
  const withSink = async (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (sink: SinkFacts, path: WebhookPath) => Promise<unknown>,
  ): Promise<unknown> => {
    const { webhookId } = request.params as { webhookId: string }
    if (webhookId === COMMAND_SINK_ID && settings.onEvent) {
      const counts = await webhooks.countCommandDeliveries()
      return work(describeCommand(settings.onEvent, counts), webhookPath(COMMAND_SINK_ID))
    }
    return withWebhook(request, reply, async (webhook, path) =>
      work(describe(webhook, await apps.list(), clock.now()), path),
    )
  }

  app.get('/webhooks', async (request, reply) => {
    const appId = fieldReader(request.query)('app')
    const [all, allApps] = await Promise.all([webhooks.list(), apps.list()])
    const shown = appId === '' ? all : all.filter((webhook) => webhook.appId === appId)
    const command =
      settings.onEvent && appId === ''
        ? [commandRow(settings.onEvent, await webhooks.countCommandDeliveries())]
        : []
    return reply.show('admin/webhooks', {
      rows: [...command, ...shown.map((webhook) => rowOf(webhook, allApps))],
      addHref: `${WEBHOOKS_PATH}/new${appId && `?app=${encodeURIComponent(appId)}`}`,
    })
  })

  app.get('/webhooks/new', { config }, async (request, reply) => {
    const form = { ...EMPTY_FORM, app: fieldReader(request.query)('app') }
    return reply.show('admin/webhook-form', formOf(form, await apps.list(), null))
  })

  app.post('/webhooks/new', { config }, async (request, reply) => {
    const form = readForm(request)
    const settings = { url: form.url, appId: form.app || null, types: form.types }
    try {
      const { webhook, signing } = await webhooks.add(
        { ...settings, signing: form.signing },
        byAdmin(request),
      )
      return showKey(reply, 'Added the endpoint', webhook, signing, null)
    } catch (error) {
      const problem = validationMessage(error)
      void reply.code(422)
      return reply.show('admin/webhook-form', formOf(form, await apps.list(), problem))
    }
  })

  app.get('/webhooks/:webhookId', (request, reply) =>
    withSink(request, reply, async (sink, path) => {
      const query = { ...readDeliveryQuery(request.query), limit: ROWS_PER_PAGE }
      const { rows, next } = await webhooks.listDeliveries(sink.id, query)
      const now = clock.now()
      return reply.show('admin/webhook', {
        path,
        ...sink,
        deliveries: rows.map((delivery) => deliveryView(delivery, sink, path, now)),
        statuses: statusLinks(path, query.status),
        older: next === null ? null : pageUrl(query.status, next),
        newer: query.cursor === null ? null : pageUrl(query.status, null),
        range: { from: formValue(now - DAY_MS), to: formValue(now) },
      })
    }),
  )

  app.post('/webhooks/:webhookId/test', (request, reply) =>
    withWebhook(request, reply, async ({ id }, path) => {
      const { outcome, answer, error } = await webhooks.test(id, byAdmin(request))
      return outcome === 'delivered'
        ? reply.done(path, `The endpoint accepted the test event with status ${answer}.`)
        : reply.done(path, `The test event failed: ${error ?? `status ${answer}`}.`, 'problem')
    }),
  )

  app.get('/webhooks/:webhookId/rotate', { config }, (request, reply) =>
    withWebhook(request, reply, async ({ signing }, path) =>
      reply.show('admin/confirm', {
        title: 'Rotate the key of this endpoint?',
        paragraphs: [
          `A new ${signing === 'v1a' ? 'key' : 'secret'} is shown on the next page. For 24 hours each event has two signatures, with the old and the new one, so that the receiver keeps working until you change it.`,
          'A key that was rotated less than 24 hours ago, if there is one, stops signing now.',
        ],
        button: 'Rotate key',
        back: path,
      }),
    ),
  )
  app.post('/webhooks/:webhookId/rotate', { config }, (request, reply) =>
    withWebhook(request, reply, async (webhook) => {
      const signing = await webhooks.rotateSecret(webhook.id, byAdmin(request))
      const note = 'For 24 hours the old one signs too. Change the receiver before then.'
      return showKey(reply, 'New key of the endpoint', webhook, signing, note)
    }),
  )

  app.post('/webhooks/:webhookId/enabled', (request, reply) =>
    withWebhook(request, reply, async ({ id }, path) => {
      const isEnabled = fieldReader(request.body)('enabled') === 'yes'
      await webhooks.setEnabled(id, isEnabled, byAdmin(request))
      const text = isEnabled
        ? 'Enabled. It gets the events from now on; to send earlier ones, replay them.'
        : 'Disabled. It gets no more events.'
      return reply.done(path, text)
    }),
  )

  app.post('/webhooks/:webhookId/replay', (request, reply) =>
    withSink(request, reply, async ({ id }, path) => {
      const field = fieldReader(request.body)
      const [from, to] = [readFormTime(field('from')), readFormTime(field('to'))]
      if (from === null || to === null) {
        return reply.done(path, 'Enter both times, such as 2026-01-31T08:00.', 'problem')
      }
      // The minute of the end is included.
      const range = { from, to: to + MINUTE_MS }
      try {
        const count = await webhooks.replayRange(id, range, byAdmin(request))
        return reply.done(path, `${formatCount(count, 'event')} will be sent again.`)
      } catch (error) {
        return reply.done(path, validationMessage(error), 'problem')
      }
    }),
  )

  app.post('/webhooks/:webhookId/deliveries/:deliveryId/replay', (request, reply) =>
    withSink(request, reply, async ({ id }, path) => {
      const { deliveryId } = request.params as { deliveryId: string }
      try {
        await webhooks.replay(id, Number(deliveryId), byAdmin(request))
        return reply.done(path, 'The event will be sent again.')
      } catch (error) {
        return reply.done(path, validationMessage(error), 'problem')
      }
    }),
  )

  app.get('/webhooks/:webhookId/remove', (request, reply) =>
    withWebhook(request, reply, async ({ url, pending }, path) =>
      reply.show('admin/confirm', {
        title: 'Remove this endpoint?',
        paragraphs: [
          `${url} gets no more events, and the list of its deliveries is deleted.`,
          ...(pending === 0 ? [] : [`${formatCount(pending, 'event')} will not be delivered.`]),
        ],
        button: 'Remove endpoint',
        back: path,
      }),
    ),
  )
  app.post('/webhooks/:webhookId/remove', (request, reply) =>
    withWebhook(request, reply, async ({ id, url }) => {
      await webhooks.remove(id, byAdmin(request))
      return reply.done(WEBHOOKS_PATH, `Removed ${url}. It gets no more events.`)
    }),
  )
}

function showKey(
  reply: FastifyReply,
  title: string,
  { id, url }: WebhookView,
  { key, isPublic }: SigningSecret,
  note: string | null,
) {
  const path = webhookPath(id)
  const shown = { title, path, endpoint: url, note }
  return reply.show('admin/webhook-secret', { ...shown, isSecret: !isPublic, key: key.reveal() })
}

const EMPTY_FORM: WebhookForm = { url: '', app: '', types: [], signing: 'v1a' }

function readForm({ body }: FastifyRequest): WebhookForm {
  const field = fieldReader(body)
  const { type } = body as { type?: unknown }
  return {
    url: field('url').trim(),
    app: field('app'),
    types: EVENT_TYPE_NAMES.filter((name) => [type].flat().includes(name)),
    signing: field('signing') === 'v1' ? 'v1' : 'v1a',
  }
}

/** A time in UTC as the value of a field `datetime-local`. */
const formValue = (time: number): string => new Date(time).toISOString().slice(0, 16)

/** `null`: it is no time. */
function readFormTime(text: string): number | null {
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(text)
  const time = isTime ? Date.parse(`${text}Z`) : NaN
  return Number.isNaN(time) ? null : time
}
