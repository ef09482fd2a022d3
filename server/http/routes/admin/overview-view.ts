import type { AttentionView, CountsView } from '../../../../views/admin/oversight.ts'
import type { ConnectionStatus } from '../../../../db/store.ts'
import type { Attention } from '../../../connections/overview.ts'
import { number } from './usage-view.ts'

/**
 * Connections by health, for `views/admin/counts.eta`.
 * @param list the list of users, with the base path
 * @param appId left out: all apps together
 */
export function countsView(
  counts: Record<ConnectionStatus, number>,
  list: string,
  appId?: string,
): CountsView {
  return {
    connected: number.format(counts.active + counts.needs_reconnect),
    healthy: number.format(counts.active),
    needReconnecting: number.format(counts.needs_reconnect),
    someNeedIt: counts.needs_reconnect > 0,
    connectedHref: usersPath(list, { app: appId }),
    healthyHref: usersPath(list, { status: 'active', app: appId }),
    needReconnectingHref: usersPath(list, { status: 'needs_reconnect', app: appId }),
  }
}

/**
 * What to do about it, in words.
 * @param appId where only this app's is told: its users are listed, and it has no link to itself
 */
export function attentionView(attention: Attention, appId?: string): AttentionView {
  const none = { at: null, path: null, link: '' }
  const pathOf = ({ id }: { id: string }) =>
    id === appId ? null : (`/admin/apps/${encodeURIComponent(id)}` as const)
  switch (attention.kind) {
    case 'upstream':
      return {
        ...none,
        tone: 'bad',
        label: 'Ellipsis Drive',
        words: `Ellipsis Drive fails: ${attention.error}. Access tokens that still live are handed out; no connection is lost by it. Since`,
        at: attention.since,
      }
    case 'app_failures':
      return {
        ...none,
        tone: 'warn',
        label: 'Failing app',
        words: `${number.format(attention.failed)} of ${number.format(attention.of)} swaps of ${attention.app.name} failed in the last 24 hours.`,
        path: pathOf(attention.app),
        link: 'Look at the app',
      }
    case 'needs_reconnect':
      return {
        ...none,
        tone: 'warn',
        label: 'Reconnect',
        words:
          attention.count === 1
            ? 'One user has to connect again: Ellipsis Drive refused the refresh token.'
            : `${number.format(attention.count)} users have to connect again: Ellipsis Drive refused their refresh tokens.`,
        path: usersPath('/admin/users', { status: 'needs_reconnect', app: appId }),
        link: 'Show who',
      }
    case 'bulk': {
      const { id, status, trouble } = attention.bulk
      const waits = status === 'ready'
      return {
        ...none,
        tone: trouble === null ? 'quiet' : 'bad',
        label: 'Bulk revocation',
        words:
          trouble ??
          (waits ? 'A bulk revocation waits to be confirmed.' : 'A bulk revocation is under way.'),
        path: `/admin/bulk/${id}`,
        link: waits ? 'Confirm or cancel' : 'Follow it',
      }
    }
    case 'erasure_pending':
      return {
        ...none,
        tone: 'quiet',
        label: 'Erasure',
        words:
          'Tokens are revoked, but not all their bytes are gone from the disk yet. It is tried every few seconds; if this stays, a backup or another program holds the database.',
      }
    case 'secret_ending':
      return {
        ...none,
        tone: 'warn',
        label: 'App secret',
        words: `An old secret of ${attention.app.name} is about to end. See that its back end uses the new one by`,
        at: attention.at,
        path: pathOf(attention.app),
        link: 'Look at the app',
      }
    case 'no_second_factor':
      return {
        ...none,
        tone: 'quiet',
        label: 'Second factor',
        words: `Without a second factor: ${attention.emails.join(', ')}.`,
        path: '/admin/account',
        link: 'To your account',
      }
    case 'no_apps':
      return {
        ...none,
        tone: 'quiet',
        label: 'First step',
        words: 'No app is registered yet.',
        path: '/admin/apps',
        link: 'Register an app',
      }
  }
}

/** The list of users, filtered; what is `undefined` isn't. */
function usersPath<Path extends string>(
  list: Path,
  { status, app }: { status?: ConnectionStatus; app: string | undefined },
): Path | `${Path}?${string}` {
  const given = { ...(status && { status }), ...(app !== undefined && { app }) }
  const query = new URLSearchParams(given).toString()
  return query === '' ? list : `${list}?${query}`
}
