import type { Event } from '../../../../db/store.ts'
import { timeText } from '../../../../views/time.ts'

const ISO = /\d{4}-\d\d-\d\dT[\d:.]+Z/g

/** What happened, in words. `app`: the name of the event's app, as it is called now. */
export function eventText({ action, details: told }: Event, app: string): string {
  const details = told?.replace(ISO, (time) => timeText(Date.parse(time))) ?? ''
  const how = details === '' ? '' : `: ${details}`
  const on = details === '' ? '' : `, on ${details}`
  const words: Record<string, string> = {
    'connection.connected': `Connected for ${app}${on}`,
    'connection.renewed': `Connected again, for ${app}${on}`,
    'connection.needs_reconnect': `Ellipsis Drive refused to refresh it: the user has to connect again${how}`,
    'connection.recovered': 'Ellipsis Drive accepts it again: recovered without the user',
    'connection.refresh_asked': `Asked for a fresh access token${how}`,
    'connection.revoked': `Revoked, with every app and device${how}`,
    'connection.erased': `Revoked, and whose it was removed${how}`,
    'connection.imported': `Imported${how}`,
    'device.allowed': `A device code of ${app} was accepted${on}`,
    'grant.begun': `${app} was let in${on}`,
    'grant.revoked': `A device of ${app} was cut off${how}`,
    'app.grants_revoked': `${app} was cut off, on all devices`,
    'app.added': `Registered the app ${app}`,
    'app.changed': `Changed ${app}${how}`,
    'app.secret_rotated': `Made a new secret for ${app}`,
    'app.old_secret_ended': `Ended the old secret of ${app}`,
    'app.removed': `Removed the app ${details || app}`,
  }
  return words[action] ?? `${action}${how}`
}

/** Who did it, in words. */
export function actorText(actor: string): string {
  const known: Record<string, string> = {
    user: 'The user',
    app: 'The app',
    system: 'The broker',
    cli: 'An operator, on the command line',
  }
  return known[actor] ?? actor.replace(/^admin:/, '')
}
