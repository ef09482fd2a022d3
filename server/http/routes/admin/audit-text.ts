import type { Event } from '../../../../db/store.ts'
import { eventText } from './event-text.ts'

/** What may be looked for, in the words of the filter. */
const ACTIONS: Record<string, string> = {
  'connection.connected': 'Connected',
  'connection.renewed': 'Connected again',
  'connection.needs_reconnect': 'Needs reconnecting',
  'connection.recovered': 'Recovered',
  'connection.refresh_asked': 'Refresh asked for',
  'connection.revoked': 'Connection revoked',
  'connection.erased': 'Person erased',
  'connection.imported': 'Imported',
  'device.allowed': 'Device code accepted',
  'grant.begun': 'App let in',
  'grant.revoked': 'Device cut off',
  'app.grants_revoked': 'App cut off from a user',
  'bulk.asked': 'Bulk revocation asked for',
  'bulk.confirmed': 'Bulk revocation confirmed',
  'bulk.cancelled': 'Bulk revocation cancelled',
  'users.exported': 'Users exported',
  'audit.exported': 'Audit log exported',
  'app.added': 'App registered',
  'app.changed': 'App changed',
  'app.secret_rotated': 'App secret made anew',
  'app.old_secret_ended': 'Old app secret ended',
  'app.removed': 'App removed',
  'key.created': 'Signing key made',
  'key.activated': 'Signing key in use',
  'key.removed': 'Signing key removed',
  'key.revoked': 'Signing key revoked',
  'admin.added': 'Admin added',
  'admin.removed': 'Admin removed',
  'admin.role_set': 'Admin given another role',
  'admin.password_set': 'Admin password set',
  'admin.signed_in': 'Admin signed in',
  'admin.sign_in_failed': 'Sign-in failed',
  'admin.sign_in_slowed': 'Sign-in slowed down',
  'admin.session_ended': 'Session ended',
  'admin.other_sessions_ended': 'Other sessions ended',
  'admin.second_factor_added': 'Second factor added',
  'admin.second_factor_removed': 'Second factor removed',
  'admin.second_factor_failed': 'Second factor failed',
  'admin.recovery_code_used': 'Recovery code used',
  'admin.recovery_codes_renewed': 'Recovery codes made anew',
}

/** Choices of a form; one that isn't known is kept. */
export const actionChoices = (selected: string) =>
  [...Object.entries(ACTIONS), ...(selected in ACTIONS ? [] : [[selected, selected] as const])]
    .filter(([value]) => value !== '')
    .map(([value, words]) => ({ value, words, selected: value === selected }))

/** What happened, in words, to whoever wasn't there. `app`: the name of the event's app. */
export function auditText(event: Event, app: string): string {
  const words = eventText(event, app)
  const known = ACTIONS[event.action]
  // Where the timeline of a user has no words, the filter's will do.
  return known !== undefined && words.startsWith(event.action)
    ? words.replace(event.action, known)
    : words
}
