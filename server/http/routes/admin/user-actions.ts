import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Connection, Grant } from '../../../../db/store.ts'
import { timeText } from '../../../../views/time.ts'
import { tokensUntil } from '../../../connections/connections.ts'
import type { RevocationResult } from '../../../connections/connections.ts'
import { BrokerError } from '../../../errors.ts'
import type { ErrorCode } from '../../../errors.ts'
import type { HttpServices } from '../../../services.ts'
import { plainName } from './name.ts'
import { byAdmin } from './actor.ts'

/** What an admin does to one user: refresh, revoke a device, an app or all, erase. Loss is asked about first. */
export const userActionRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { connections, apps, clock } = services

  /** Has what the address names, or answers that it isn't there. */
  const found = async (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (target: Target) => Promise<unknown>,
  ): Promise<unknown> => {
    const {
      id,
      appId,
      grantId = '',
    } = request.params as {
      id: string
      appId?: string
      grantId?: string
    }
    const shown = await connections.find(id)
    if (!shown) return reply.missing('There is no such user (any more).')
    const { connection, grants } = shown
    const all = await apps.list()
    const named = grants.find((grant) => grant.id === grantId)
    if (grantId !== '' && !named) return reply.missing('There is no such device (any more).')
    const ofApp = appId ?? named?.appId
    return work({
      connection,
      live: grants.filter(({ revokedAt }) => revokedAt === null),
      grantId,
      device: plainName(named?.device || 'A device'),
      appId: ofApp ?? '',
      appName: plainName(all.find((one) => one.id === ofApp)?.name ?? 'the removed app'),
      user: plainName(connection.username || connection.id),
      path: `/admin/users/${encodeURIComponent(connection.id)}`,
      out: outWords(connection, clock.now()),
    })
  }

  app.post('/users/:id/refresh', (request, reply) =>
    found(request, reply, async ({ connection, path }) => {
      try {
        const { expiresAt } = await connections.refresh(connection.id, byAdmin(request))
        return reply.done(path, `Fetched a fresh access token, good until ${timeText(expiresAt)}.`)
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
        return reply.done(path, refreshWords(error), 'problem')
      }
    }),
  )

  app.get('/users/:id/revoke', (request, reply) =>
    found(request, reply, async ({ user, live, path, out }) =>
      reply.show('admin/confirm', {
        title: `Revoke everything of ${user}?`,
        words: [
          `From that moment on nothing new is handed out: ${devices(live.length)} ${live.length === 1 ? 'is' : 'are'} cut off, and the tokens that this broker keeps are deleted for good.`,
          out,
          'The user may connect again later; that makes a new connection.',
        ],
        button: 'Revoke everything',
        back: path,
      }),
    ),
  )
  app.post('/users/:id/revoke', (request, reply) =>
    found(request, reply, async ({ connection, path }) => {
      const revoked = await connections.revoke(connection.id, byAdmin(request))
      return reply.done(path, `Revoked, with ${devices(revoked.grants)}. ${afterWords(revoked)}`)
    }),
  )

  app.get('/users/:id/apps/:appId/revoke', (request, reply) =>
    found(request, reply, async ({ user, live, appId, appName, path, out }) => {
      const own = live.filter((grant) => grant.appId === appId).length
      return reply.show('admin/confirm', {
        title: `Cut ${appName} off from ${user}?`,
        words: [
          `From that moment on ${appName} gets nothing new for this user, on ${own === 1 ? 'its one device' : `any of its ${own} devices`}. Other apps go on.`,
          out,
          'The user may let the app in again.',
        ],
        button: 'Revoke this app',
        back: path,
      })
    }),
  )
  app.post('/users/:id/apps/:appId/revoke', (request, reply) =>
    found(request, reply, async ({ connection, appId, appName, path }) => {
      const { grants } = await connections.revokeApp(connection.id, appId, byAdmin(request))
      return reply.done(path, `${appName} is cut off, on ${devices(grants)}.`)
    }),
  )

  app.get('/users/:id/devices/:grantId/revoke', (request, reply) =>
    found(request, reply, async ({ user, device, appName, path, out }) =>
      reply.show('admin/confirm', {
        title: `Revoke ${device} of ${user}?`,
        words: [
          `From that moment on ${appName} gets nothing new there. Other devices and apps go on.`,
          out,
          'The user may connect from that device again.',
        ],
        button: 'Revoke this device',
        back: path,
      }),
    ),
  )
  app.post('/users/:id/devices/:grantId/revoke', (request, reply) =>
    found(request, reply, async ({ grantId, device, appName, path }) => {
      const revoked = await connections.revokeGrant(grantId, byAdmin(request))
      const words = `${device} is cut off from ${appName}.`
      return reply.done(path, revoked ? words : 'That device was cut off before.')
    }),
  )

  app.get('/users/:id/erase', (request, reply) =>
    found(request, reply, async ({ user, path, out }) =>
      reply.show('admin/confirm', {
        title: `Erase ${user}?`,
        words: [
          'Everything of this user is revoked, and what tells who it was is removed: the name, the account at Ellipsis Drive, the names of devices, and the addresses that the user and the apps came from. It can’t be undone.',
          'What is kept, so that you can show later what was done: that there was a connection, under its random id; which apps it had, and when; and what admins did to it. The connection itself goes after 30 days, the events when their time is up. Backups that were made before still hold it all.',
          out,
        ],
        button: 'Revoke and erase',
        back: path,
      }),
    ),
  )
  app.post('/users/:id/erase', (request, reply) =>
    found(request, reply, async ({ connection, path }) => {
      const erased = await connections.erase(connection.id, byAdmin(request))
      return reply.done(
        path,
        `Erased: nothing here tells any more who this was. ${afterWords(erased)}`,
      )
    }),
  )
}

/** What a deed is done to. */
interface Target {
  connection: Connection
  live: Grant[]
  /** Empty: no device is named, nor an app. */
  grantId: string
  appId: string
  appName: string
  /** What the device is called. */
  device: string
  /** What the user is called. */
  user: string
  path: `/admin${string}`
  /** What becomes of access tokens that are out. */
  out: string
}

/** Ellipsis Drive's access tokens can't be called back; this says until when they are of use. */
function outWords(connection: Connection, now: number): string {
  const until = tokensUntil(connection, now)
  if (until === null) return 'No access token is out: the last one that was handed out has ended.'
  return `Access tokens that are out already go on working until ${timeText(until)} at the latest: Ellipsis Drive has no way to take them back.`
}

const afterWords = ({ erased, tokensUntil: until }: RevocationResult): string =>
  [
    until === null
      ? 'No access token is out any more.'
      : `Access tokens that are out work until ${timeText(until)} at the latest.`,
    ...(erased
      ? []
      : ['The tokens’ bytes are being erased; something reads the database just now.']),
  ].join(' ')

const devices = (count: number): string => `${count} device${count === 1 ? '' : 's'}`

/** What came of a refresh that an admin asked for. */
function refreshWords({ code, details, message }: BrokerError): string {
  const wait = details.retryAfter === undefined ? '' : ` in ${details.retryAfter} s`
  const words: Partial<Record<ErrorCode, string>> = {
    needs_reconnect:
      'Ellipsis Drive refused the refresh token: the user has to connect again. Send them a reconnect link.',
    connection_revoked: 'This connection is revoked: there is nothing to refresh.',
    slow_down: `A fresh token was fetched a moment ago; try again${wait}.`,
    temporarily_unavailable: `Ellipsis Drive gave no answer, or was busy. The connection isn’t dead: try again${wait || ' later'}.`,
    server_error:
      'Ellipsis Drive refuses this broker’s own client: check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET. The connection isn’t dead.',
  }
  return words[code] ?? message
}
