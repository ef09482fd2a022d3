/**
 * Events that leave the broker: by webhook, command or feed. By the action of the audit log, the public type.
 * Receivers depend on the types: add some, and never rename one.
 */
export const EVENT_TYPES = {
  'connection.connected': 'connection.created',
  'connection.imported': 'connection.created',
  'connection.reconnected': 'connection.reconnected',
  'connection.needs_reconnect': 'connection.needs_reconnect',
  'connection.recovered': 'connection.recovered',
  'connection.revoked': 'connection.revoked',
  'connection.import_ended': 'connection.revoked',
  'connection.erased': 'connection.erased',
  'grant.begun': 'grant.created',
  'grant.revoked': 'grant.revoked',
  'app.grants_revoked': 'grant.revoked',
  'app.added': 'app.added',
  'app.changed': 'app.changed',
  'app.secret_rotated': 'app.secret_rotated',
  'app.removed': 'app.removed',
  'upstream.down': 'upstream.down',
  'upstream.up': 'upstream.up',
  'credentials.refused': 'credentials.refused',
  'storage.full': 'storage.full',
  'certificate.expiring': 'certificate.expiring',
} as const

/** Sink of the program of BROKER_ON_EVENT; the others are webhooks, by their ids. */
export const COMMAND_SINK_ID = 'command'

/** An action of the audit log that is a public event. */
export type PublicAction = keyof typeof EVENT_TYPES
/** The type of an event, as receivers see it. */
export type EventType = (typeof EVENT_TYPES)[PublicAction]

export const isPublicAction = (action: string): action is PublicAction => action in EVENT_TYPES
