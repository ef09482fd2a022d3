import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { App } from '../../../../db/store.ts'
import { validSecrets } from '../../../oauth/apps.ts'
import { parseDuration } from '../../../oauth/duration.ts'
import type { HttpServices } from '../../../services.ts'
import { pathOf } from './apps.ts'
import { formatCount, plainName } from './format.ts'
import { hereAfterwards } from '../../plugins/session.ts'
import { byAdmin } from './request.ts'

/** How long the old secret stays valid after a rotation. */
const OVERLAPS = { '7d': '7 days', '1d': '1 day', '1h': '1 hour', '0s': 'no time' }
const DEFAULT_OVERLAP = '7d'

/** Actions on an app: rotate or revoke its secret, remove it. */
export const appActionRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  fastify,
  { services },
) => {
  const { apps, clock } = services
  /** For pages that show a secret. */
  const config = { fresh: hereAfterwards }

  /** Runs `work` with the app of the URL, or sends 404. */
  const withApp = async (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (app: App, path: `/admin/apps/${string}`) => Promise<unknown>,
  ): Promise<unknown> => {
    const app = await apps.find((request.params as { appId: string }).appId)
    return app
      ? work(app, pathOf(app.id))
      : reply.missing('This app does not exist or was removed.')
  }

  /** The same, for confidential apps only. No page links here for a public app. */
  const withConfidentialApp = (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (app: App, path: `/admin/apps/${string}`) => Promise<unknown>,
  ) =>
    withApp(request, reply, async (app, path) =>
      app.confidential ? work(app, path) : reply.missing('A public app has no secret.'),
    )

  fastify.get('/apps/:appId/rotate', { config }, (request, reply) =>
    withConfidentialApp(request, reply, async (app, path) =>
      reply.show('admin/app-rotate', {
        name: app.name,
        path,
        newest: newestSecretOf(app),
        isSecondLive: validSecrets(app, clock.now()).length > 1,
        overlaps: Object.entries(OVERLAPS).map(([value, label]) => ({
          value,
          label,
          selected: value === DEFAULT_OVERLAP,
        })),
      }),
    ),
  )

  fastify.post('/apps/:appId/rotate', { config }, (request, reply) =>
    withConfidentialApp(request, reply, async (app, path) => {
      const { overlap, newest } = request.body as { overlap?: string; newest?: string }
      // Reloading the page posts the form again. Rotate only once.
      if (newest !== newestSecretOf(app)) {
        return reply.done(
          path,
          'The secret was already rotated. A new secret is shown only once.',
          'problem',
        )
      }
      const chosen = overlap !== undefined && overlap in OVERLAPS ? overlap : DEFAULT_OVERLAP
      const seconds = parseDuration(chosen)
      const secret = await apps.rotateSecret(app.id, seconds, byAdmin(request))
      return reply.show('admin/app-secret', {
        title: `New secret of ${plainName(app.name)}`,
        path,
        clientId: app.id,
        secret: secret.reveal(),
        note:
          seconds === 0
            ? 'The old secret is no longer valid.'
            : `The old secret stays valid for ${OVERLAPS[chosen as keyof typeof OVERLAPS]}. Update the app before then.`,
      })
    }),
  )

  fastify.get('/apps/:appId/end-old-secret', (request, reply) =>
    withConfidentialApp(request, reply, async (app, path) =>
      reply.show('admin/confirm', {
        title: `Revoke the old secret of ${plainName(app.name)}?`,
        paragraphs: [
          'From then on, only the newest secret is valid. If the app still uses the old one, its swaps fail until you update it. Users do not have to reconnect.',
        ],
        button: 'Revoke old secret',
        back: path,
      }),
    ),
  )
  fastify.post('/apps/:appId/end-old-secret', (request, reply) =>
    withConfidentialApp(request, reply, async (app, path) => {
      const ended = await apps.endOldSecret(app.id, byAdmin(request))
      return reply.done(
        path,
        ended ? 'The old secret is no longer valid.' : 'There is no old secret.',
      )
    }),
  )

  fastify.get('/apps/:appId/remove', (request, reply) =>
    withApp(request, reply, async (app, path) => {
      const users = await apps.countUsers(app.id)
      return reply.show('admin/confirm', {
        title: `Remove ${plainName(app.name)}?`,
        paragraphs: [
          `The app gets no more tokens: ${users === 0 ? 'no users are connected' : `${formatCount(users, 'user')} ${users === 1 ? 'loses' : 'lose'} access on all devices`}. Its connect links stop working, and its client_id is never valid again.`,
          'Access tokens that the app already holds work until they expire, usually within an hour: Ellipsis Drive cannot revoke them.',
          'The users’ connections remain for other apps. If you remove the app by mistake, register it again; its users then have to reconnect.',
        ],
        button: 'Remove app',
        back: path,
      })
    }),
  )
  fastify.post('/apps/:appId/remove', (request, reply) =>
    withApp(request, reply, async (app) => {
      await apps.remove(app.id, byAdmin(request))
      return reply.done('/admin/apps', `Removed “${plainName(app.name)}”. It gets no more tokens.`)
    }),
  )
}

const newestSecretOf = (app: App): string => String(app.secrets.at(-1)?.createdAt)
