import type { EventType } from '../../db/store.ts'

/** What each type of event means: for the dashboard, the command line and docs/events.md. */
export const EVENT_TEXTS: Record<EventType, string> = {
  'connection.created': 'A user connected an Ellipsis Drive account, or it was imported.',
  'connection.reconnected': 'A user reconnected an account whose connection no longer worked.',
  'connection.needs_reconnect':
    'Ellipsis Drive rejects the refresh token. The user has to reconnect.',
  'connection.recovered': 'Ellipsis Drive accepts the refresh token again. Nothing to do.',
  'connection.revoked': 'The connection is revoked, with all its grants.',
  'connection.erased':
    'The connection is revoked, and its personal data is erased: erase your copy.',
  'grant.created': 'A user authorized an app on a device.',
  'grant.revoked': 'A grant is revoked. Without a grant_id: all grants of the app.',
  'app.added': 'An app was registered.',
  'app.changed': 'Settings of an app were changed.',
  'app.secret_rotated': 'An app has a new secret.',
  'app.removed': 'An app was removed.',
  'upstream.down': 'Ellipsis Drive has not answered, or has failed, for more than a minute.',
  'upstream.up': 'Ellipsis Drive has answered again for more than a minute.',
  'credentials.refused':
    'Ellipsis Drive rejects the id or secret of this broker: nobody can connect, and no token is refreshed.',
  'storage.full': 'The disk is almost full.',
  'certificate.expiring': 'The TLS certificate of the public URL expires within 14 days.',
}

/** All types, each once. */
export const EVENT_TYPE_NAMES = Object.keys(EVENT_TEXTS) as EventType[]
