import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { App } from '../../../../db/store.ts'
import { validSecrets } from '../../../oauth/apps.ts'
import { parseDuration } from '../../../oauth/duration.ts'
import type { HttpServices } from '../../../services.ts'
import { byAdmin } from './actor.ts'
import { plainName } from './name.ts'
import { pathOf } from './apps.ts'

/** How long the old secret goes on beside a new one. */
const OVERLAPS = { '7d': 'seven days', '1d': 'one day', '1h': 'one hour', '0s': 'not at all' }

/** What an admin does to an app: new secrets, and its end. */
export const appActionRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { apps, clock } = services

  const found = async (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (one: App, path: `/admin/apps/${string}`) => Promise<unknown>,
  ): Promise<unknown> => {
    const one = await apps.find((request.params as { appId: string }).appId)
    return one ? work(one, pathOf(one.id)) : reply.missing('There is no such app (any more).')
  }

  /** Of a public app there is no secret; its address isn’t linked to. */
  const withSecret = (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (one: App, path: `/admin/apps/${string}`) => Promise<unknown>,
  ) =>
    found(request, reply, async (one, path) =>
      one.confidential ? work(one, path) : reply.missing('A public app has no secret.'),
    )

  app.get('/apps/:appId/rotate', (request, reply) =>
    withSecret(request, reply, async (one, path) =>
      reply.show('admin/app-rotate', {
        name: one.name,
        path,
        newest: newestOf(one),
        isSecondLive: validSecrets(one, clock.now()).length > 1,
        overlaps: Object.entries(OVERLAPS).map(([value, words]) => ({
          value,
          words,
          selected: value === '7d',
        })),
      }),
    ),
  )

  app.post('/apps/:appId/rotate', (request, reply) =>
    withSecret(request, reply, async (one, path) => {
      const { overlap, newest } = request.body as { overlap?: string; newest?: string }
      // A page that is loaded anew posts its form again: one press makes one secret.
      if (newest !== newestOf(one)) {
        return reply.done(path, 'A new secret was made already, and is shown only once.', 'problem')
      }
      const chosen = overlap !== undefined && overlap in OVERLAPS ? overlap : '7d'
      const seconds = parseDuration(chosen)
      const secret = await apps.rotateSecret(one.id, seconds, byAdmin(request))
      return reply.show('admin/app-secret', {
        title: `The new secret of ${plainName(one.name)}`,
        path,
        clientId: one.id,
        secret: secret.reveal(),
        words:
          seconds === 0
            ? 'The old secret is refused from now on.'
            : `The old secret is accepted for ${OVERLAPS[chosen as keyof typeof OVERLAPS]} more: put the new one into the app until then.`,
      })
    }),
  )

  app.get('/apps/:appId/end-old-secret', (request, reply) =>
    withSecret(request, reply, async (one, path) =>
      reply.show('admin/confirm', {
        title: `End the old secret of ${plainName(one.name)}?`,
        words: [
          'From that moment on only the newest secret is accepted. Where the app still uses the old one, its swaps fail until it has the new one; nobody has to connect again.',
        ],
        button: 'End the old secret',
        back: path,
      }),
    ),
  )
  app.post('/apps/:appId/end-old-secret', (request, reply) =>
    withSecret(request, reply, async (one, path) => {
      const ended = await apps.endOldSecret(one.id, byAdmin(request))
      return reply.done(
        path,
        ended ? 'The old secret is refused from now on.' : 'There is no old secret.',
      )
    }),
  )

  app.get('/apps/:appId/remove', (request, reply) =>
    found(request, reply, async (one, path) => {
      const users = await apps.countUsers(one.id)
      return reply.show('admin/confirm', {
        title: `Remove ${plainName(one.name)}?`,
        words: [
          `From that moment on it gets nothing: ${users === 0 ? 'nobody uses it' : `${number.format(users)} user${users === 1 ? ' is' : 's are'} cut off in it, on every device`}, its connect links end, and its client_id is never valid again.`,
          'Access tokens that it holds already go on working until they end, mostly within the hour: Ellipsis Drive has no way to take them back.',
          'The users’ connections stay, for other apps. If it was a mistake, register the app anew; its users then have to let it in again.',
        ],
        button: 'Remove this app',
        back: path,
      })
    }),
  )
  app.post('/apps/:appId/remove', (request, reply) =>
    found(request, reply, async (one) => {
      await apps.remove(one.id, byAdmin(request))
      return reply.done(
        '/admin/apps',
        `Removed “${plainName(one.name)}”. Nothing is handed out to it any more.`,
      )
    }),
  )
}

const number = new Intl.NumberFormat('en-GB')

const newestOf = (app: App): string => String(app.secrets.at(-1)?.createdAt)
