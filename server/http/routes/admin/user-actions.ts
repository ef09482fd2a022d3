import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Connection, ListedLink } from '../../../../db/store.ts'
import { timeText } from '../../../../views/time.ts'
import { tokensUntil } from '../../../connections/connections.ts'
import type { RevocationResult } from '../../../connections/connections.ts'
import { countDevices } from '../../../connections/devices.ts'
import { BrokerError } from '../../../errors.ts'
import type { ErrorCode } from '../../../errors.ts'
import type { HttpServices } from '../../../services.ts'
import { formatCount, plainName } from './format.ts'
import { byAdmin } from './request.ts'

/** Actions on one user: refresh, revoke a device, an app or everything, erase. Each loss needs a confirmation. */
export const userActionRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { connections, apps, clock } = services

  /** Runs `work` with the target of the URL, or sends 404. */
  const withTarget = async (
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
    const found = await connections.find(id)
    if (!found) return reply.missing('This user does not exist or was deleted.')
    const { connection, grants, links } = found
    const all = await apps.list()
    const grant = grants.find(({ id }) => id === grantId)
    if (grantId !== '' && !grant) return reply.missing('This device does not exist or was deleted.')
    const targetAppId = appId ?? grant?.appId
    return work({
      connection,
      links,
      devicesOf: (id) =>
        countDevices(id === null ? grants : grants.filter((one) => one.appId === id), clock.now()),
      grantId,
      device: plainName(grant?.device || 'A device'),
      appId: targetAppId ?? '',
      appName: plainName(all.find((one) => one.id === targetAppId)?.name ?? 'the removed app'),
      user: plainName(connection.username || connection.id),
      path: `/admin/users/${encodeURIComponent(connection.id)}`,
      tokenNote: issuedTokensText(connection, clock.now()),
    })
  }

  app.post('/users/:id/refresh', (request, reply) =>
    withTarget(request, reply, async ({ connection, path }) => {
      try {
        const { expiresAt } = await connections.refresh(connection.id, byAdmin(request))
        return reply.done(
          path,
          `Refreshed. The new access token is valid until ${timeText(expiresAt)}.`,
        )
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
        return reply.done(path, refreshErrorText(error), 'problem')
      }
    }),
  )

  app.get('/users/:id/revoke', (request, reply) =>
    withTarget(request, reply, async ({ user, devicesOf, path, tokenNote }) =>
      reply.show('admin/confirm', {
        title: `Revoke everything of ${user}?`,
        paragraphs: [
          `No more tokens are handed out: ${formatCount(devicesOf(null), 'device')} ${devicesOf(null) === 1 ? 'loses' : 'lose'} access, and the tokens that this broker stores are deleted permanently.`,
          tokenNote,
          'The user can connect again later; that creates a new connection.',
        ],
        button: 'Revoke everything',
        back: path,
      }),
    ),
  )
  app.post('/users/:id/revoke', (request, reply) =>
    withTarget(request, reply, async ({ connection, devicesOf, path }) => {
      const revoked = await connections.revoke(connection.id, byAdmin(request))
      return reply.done(
        path,
        `Revoked everything, on ${formatCount(revoked.grants && devicesOf(null), 'device')}. ${revocationText(revoked)}`,
      )
    }),
  )

  app.get('/users/:id/apps/:appId/revoke', (request, reply) =>
    withTarget(request, reply, async ({ user, devicesOf, appId, appName, path, tokenNote }) => {
      const own = devicesOf(appId)
      return reply.show('admin/confirm', {
        title: `Revoke ${appName} for ${user}?`,
        paragraphs: [
          `${appName} gets no more tokens for this user, on ${formatCount(own, 'device')}. Other apps keep working.`,
          tokenNote,
          'The user can connect this app again.',
        ],
        button: 'Revoke app',
        back: path,
      })
    }),
  )
  app.post('/users/:id/apps/:appId/revoke', (request, reply) =>
    withTarget(request, reply, async ({ connection, devicesOf, appId, appName, path }) => {
      const { grants } = await connections.revokeApp(connection.id, appId, byAdmin(request))
      return reply.done(
        path,
        `Revoked ${appName} on ${formatCount(grants && devicesOf(appId), 'device')}.`,
      )
    }),
  )

  app.get('/users/:id/devices/:grantId/revoke', (request, reply) =>
    withTarget(request, reply, async ({ user, device, appName, path, tokenNote }) =>
      reply.show('admin/confirm', {
        title: `Revoke ${device} of ${user}?`,
        paragraphs: [
          `${appName} gets no more tokens on this device. Other devices and apps keep working.`,
          tokenNote,
          'The user can connect from this device again.',
        ],
        button: 'Revoke device',
        back: path,
      }),
    ),
  )
  app.post('/users/:id/devices/:grantId/revoke', (request, reply) =>
    withTarget(request, reply, async ({ grantId, device, appName, path }) => {
      const revoked = await connections.revokeGrant(grantId, byAdmin(request))
      const message = `Revoked ${device} for ${appName}.`
      return reply.done(path, revoked ? message : 'That device was already revoked.')
    }),
  )

  app.get('/users/:id/links/:linkId/revoke', (request, reply) =>
    withTarget(request, reply, async ({ links, user, path }) => {
      const link = findLink(request, links)
      if (!link) return reply.missing(NO_LINK)
      return reply.show('admin/confirm', {
        title: `Revoke a link of ${user}?`,
        paragraphs: [
          `${plainName(link.label || link.path)}: this URL stops working. Other links, devices and apps keep working.`,
          'The app can create another link.',
        ],
        button: 'Revoke link',
        back: path,
      })
    }),
  )
  app.post('/users/:id/links/:linkId/revoke', (request, reply) =>
    withTarget(request, reply, async ({ connection, links, path }) => {
      const link = findLink(request, links)
      if (!link) return reply.missing(NO_LINK)
      const revoked = await services.links.revokeAny(link.id, connection.id, byAdmin(request))
      const message = `Revoked the link ${plainName(link.label || link.path)}.`
      return reply.done(path, revoked ? message : 'That link was already revoked.')
    }),
  )

  app.get('/users/:id/erase', (request, reply) =>
    withTarget(request, reply, async ({ user, path, tokenNote }) =>
      reply.show('admin/confirm', {
        title: `Erase ${user}?`,
        paragraphs: [
          'All access of this user is revoked, and personal data is deleted: name, Ellipsis Drive account, device names, and the IP addresses that the user and the apps came from. This cannot be undone.',
          'What is kept, so that you can show later what was done: the connection’s random ID, its apps with times, and the actions of admins on it. The connection is deleted after 30 days, its events at the end of their retention period. Earlier backups still contain everything.',
          tokenNote,
        ],
        button: 'Revoke and erase',
        back: path,
      }),
    ),
  )
  app.post('/users/:id/erase', (request, reply) =>
    withTarget(request, reply, async ({ connection, path }) => {
      const erased = await connections.erase(connection.id, byAdmin(request))
      return reply.done(
        path,
        `Erased: no data here identifies this user. ${revocationText(erased)}`,
      )
    }),
  )
}

const NO_LINK = 'This link does not exist: it may have expired or been revoked.'

const findLink = (request: FastifyRequest, links: ListedLink[]): ListedLink | undefined =>
  links.find(({ id }) => id === (request.params as { linkId: string }).linkId)

/** The target of an action. */
interface Target {
  connection: Connection
  /** All links of the connection that have not expired. */
  links: ListedLink[]
  /** On how many devices the user's apps, or one of them, are active. */
  devicesOf(appId: string | null): number
  /** Empty if the URL names no device. `appId` is empty if it names neither a device nor an app. */
  grantId: string
  appId: string
  appName: string
  /** The device's name. */
  device: string
  /** The user's name. */
  user: string
  path: `/admin${string}`
  /** Until when access tokens that were already issued work. */
  tokenNote: string
}

/** Ellipsis Drive cannot revoke access tokens: says until when issued ones work. */
function issuedTokensText(connection: Connection, now: number): string {
  const until = tokensUntil(connection, now)
  if (until === null) return 'No valid access token exists: the last one has expired.'
  return `Access tokens already issued work until ${timeText(until)} at the latest: Ellipsis Drive cannot revoke them.`
}

/** The message after a revocation. */
const revocationText = ({ erased, tokensUntil: until }: RevocationResult): string =>
  [
    until === null
      ? 'No valid access token is left.'
      : `Access tokens already issued work until ${timeText(until)} at the latest.`,
    ...(erased
      ? []
      : [
          'The tokens are still being erased from disk, because another program is reading the database.',
        ]),
  ].join(' ')

/** Explains why a refresh that an admin requested failed. */
function refreshErrorText({ code, details, message }: BrokerError): string {
  const delay = details.retryAfter === undefined ? '' : ` in ${details.retryAfter} s`
  const texts: Partial<Record<ErrorCode, string>> = {
    needs_reconnect:
      'Ellipsis Drive rejected the refresh token. The user has to reconnect: send them a reconnect link.',
    connection_revoked: 'This connection is revoked and cannot be refreshed.',
    slow_down: `The token was refreshed a moment ago. Try again${delay}.`,
    temporarily_unavailable: `Ellipsis Drive did not answer, or is busy. The connection is not lost. Try again${delay || ' later'}.`,
    server_error:
      'Ellipsis Drive rejects this broker’s client credentials. Check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET. The connection is not lost.',
  }
  return texts[code] ?? message
}
