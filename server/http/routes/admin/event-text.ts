/** Events in plain English, for the audit log and the page of a user. */

import type { Event } from '../../../../db/store.ts'
import { timeText } from '../../../../views/time.ts'

/** Labels of the action filter of the audit log. */
const ACTION_LABELS: Record<string, string> = {
  'connection.connected': 'Connected',
  'connection.renewed': 'Connected again',
  'connection.reconnected': 'Reconnected',
  'connection.needs_reconnect': 'Needs reconnecting',
  'connection.recovered': 'Recovered',
  'connection.refresh_asked': 'Refresh requested',
  'connection.revoked': 'Connection revoked',
  'connection.erased': 'Personal data erased',
  'connection.imported': 'Imported',
  'connection.import_ended': 'Import ended',
  'device.allowed': 'Device code approved',
  'grant.begun': 'App authorized',
  'grant.revoked': 'Device revoked',
  'grant.external_id_set': 'App’s ID of a user set',
  'grant.external_id_removed': 'App’s ID of a user removed',
  'app.grants_revoked': 'App revoked for a user',
  'link.created': 'Link created',
  'link.revoked': 'Link revoked',
  'bulk.asked': 'Bulk revocation requested',
  'bulk.confirmed': 'Bulk revocation confirmed',
  'bulk.cancelled': 'Bulk revocation cancelled',
  'users.exported': 'Users exported',
  'audit.exported': 'Audit log exported',
  'app.added': 'App registered',
  'app.changed': 'App changed',
  'app.offline_allowed': 'Offline access allowed',
  'app.offline_ended': 'Offline access ended',
  'app.secret_rotated': 'App secret rotated',
  'app.old_secret_ended': 'Old app secret revoked',
  'app.removed': 'App removed',
  'webhook.added': 'Webhook added',
  'webhook.enabled': 'Webhook enabled',
  'webhook.disabled': 'Webhook disabled',
  'webhook.removed': 'Webhook removed',
  'webhook.secret_rotated': 'Webhook key rotated',
  'webhook.replayed': 'Webhook events replayed',
  'webhook.tested': 'Webhook tested',
  'upstream.down': 'Ellipsis Drive down',
  'upstream.up': 'Ellipsis Drive up',
  'credentials.refused': 'Broker’s client refused',
  'storage.full': 'Storage almost full',
  'certificate.expiring': 'Certificate expires soon',
  'key.created': 'Signing key created',
  'key.activated': 'Signing key activated',
  'key.removed': 'Signing key removed',
  'key.revoked': 'Signing key revoked',
  'store.restored': 'Backup restored',
  'admin.added': 'Admin added',
  'admin.removed': 'Admin removed',
  'admin.role_set': 'Admin role changed',
  'admin.password_set': 'Admin password set',
  'admin.signed_in': 'Admin signed in',
  'admin.sign_in_failed': 'Sign-in failed',
  'admin.sign_in_slowed': 'Sign-in throttled',
  'admin.oidc_linked': 'Account of the identity provider linked',
  'admin.oidc_unlinked': 'Account of the identity provider unlinked',
  'admin.oidc_refused': 'Identity provider gave no role',
  'admin.second_factor_pending': 'Password correct, second factor pending',
  'admin.identity_confirmed': 'Identity confirmed',
  'admin.session_ended': 'Session ended',
  'admin.other_sessions_ended': 'Other sessions ended',
  'admin.second_factor_added': 'Second factor added',
  'admin.second_factor_removed': 'Second factor removed',
  'admin.second_factor_failed': 'Second factor failed',
  'admin.passkey_added': 'Passkey added',
  'admin.passkey_removed': 'Passkey removed',
  'admin.passkey_used': 'Passkey used',
  'admin.passkey_failed': 'Passkey failed',
  'admin.recovery_code_used': 'Recovery code used',
  'admin.recovery_codes_renewed': 'Recovery codes renewed',
}

const ISO_TIME = /\d{4}-\d\d-\d\dT[\d:.]+Z/g

/** Options of the action filter, including a selected action that is unknown. */
export const actionChoices = (selected: string) =>
  [
    ...Object.entries(ACTION_LABELS),
    ...(selected in ACTION_LABELS ? [] : [[selected, selected] as const]),
  ]
    .filter(([value]) => value !== '')
    .map(([value, label]) => ({ value, label, selected: value === selected }))

/**
 * An event as a sentence, for the page of a user. An unknown action is shown by its name.
 * @param app the current name of the event's app
 */
export function eventText({ action, details: stored }: Event, app: string): string {
  const details = stored?.replace(ISO_TIME, (time) => timeText(Date.parse(time))) ?? ''
  const colonDetails = details === '' ? '' : `: ${details}`
  const onDevice = details === '' ? '' : `, on ${details}`
  const texts: Record<string, string> = {
    'connection.connected': `Connected to ${app}${onDevice}`,
    'connection.renewed': `Connected to ${app} again${onDevice}`,
    'connection.reconnected': `Reconnected to ${app}${onDevice}`,
    'connection.needs_reconnect': `Ellipsis Drive rejected the refresh token: the user has to reconnect${colonDetails}`,
    'connection.recovered':
      'Ellipsis Drive accepts the refresh token again: the user need not reconnect',
    'connection.refresh_asked': `Requested a refresh of the access token${colonDetails}`,
    'connection.revoked': `Revoked, with all apps and devices${colonDetails}`,
    'connection.erased': `Revoked, and personal data erased${colonDetails}`,
    'connection.imported': `Imported${colonDetails}`,
    'connection.import_ended': `Import ended${colonDetails}`,
    'device.allowed': `Approved a device code of ${app}${onDevice}`,
    'grant.begun': `${app} was authorized${onDevice}`,
    'grant.revoked': `Revoked a device of ${app}${colonDetails}`,
    'app.grants_revoked': `Revoked ${app} on all devices`,
    'grant.external_id_set': `${app} set its own ID of this user`,
    'grant.external_id_removed': `${app} removed its own ID of this user`,
    'app.offline_allowed': `Allowed ${app} to get tokens of its users at any time`,
    'app.offline_ended': `Ended the offline access of ${app}`,
    'link.created': `${app} created a link${colonDetails}`,
    'link.revoked': `Revoked a link of ${app}${colonDetails}`,
    'app.added': `Registered the app ${app}`,
    'app.changed': `Changed ${app}${colonDetails}`,
    'app.secret_rotated': `Rotated the secret of ${app}`,
    'app.old_secret_ended': `Revoked the old secret of ${app}`,
    'app.removed': `Removed the app ${details || app}`,
  }
  return texts[action] ?? `${action}${colonDetails}`
}

/** An event as a sentence, for the audit log: `eventText`, or else the label of the action. */
export function auditText(event: Event, app: string): string {
  const text = eventText(event, app)
  const label = ACTION_LABELS[event.action]
  return label !== undefined && text.startsWith(event.action)
    ? text.replace(event.action, label)
    : text
}

/** The actor of an event, as text. */
export function actorText(actor: string): string {
  const labels: Record<string, string> = {
    user: 'User',
    app: 'App',
    system: 'Broker',
    cli: 'Command line',
  }
  return labels[actor] ?? actor.replace(/^admin:/, '')
}
