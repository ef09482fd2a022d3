import t from 'tap'
import type { Event } from '../../../../db/store.ts'
import {
  actionChoices,
  actorText,
  auditText,
  eventText,
} from '../../../../server/http/routes/admin/event-text.ts'

const event = (action: string, details: string | null = null): Event =>
  ({ id: 1, at: 0, actor: 'system', action, details }) as Event

t.test('events are shown as sentences, with readable times', async (t) => {
  const end = 'access tokens already issued expire by 2026-11-25T03:04:54.189Z'
  t.equal(
    eventText(event('connection.revoked', end), 'Map'),
    'Revoked, with all apps and devices: access tokens already issued expire by 25 Nov 2026, 03:04 UTC',
  )
  t.equal(
    eventText(event('device.allowed', 'Safari on iOS'), 'Map'),
    'Approved a device code of Map, on Safari on iOS',
  )
  t.equal(auditText(event('key.revoked', 'k1'), ''), 'Signing key revoked: k1')
})

t.test('an unknown action is shown by its name', async (t) => {
  t.equal(auditText(event('moon.landed'), ''), 'moon.landed')
  t.equal(auditText(event('app.removed'), 'Map'), 'Removed the app Map')
  t.equal(auditText(event('app.removed', 'Old map'), ''), 'Removed the app Old map')
})

t.test('actors are shown as text, admins by their e-mail address', async (t) => {
  t.equal(actorText('cli'), 'Command line')
  t.equal(actorText('admin:ada@example.com'), 'ada@example.com')
})

t.test('the action filter keeps an unknown selected action', async (t) => {
  const selected = (action: string) => actionChoices(action).filter((choice) => choice.selected)
  t.strictSame(selected(''), [])
  t.match(selected('key.revoked'), [{ label: 'Signing key revoked' }])
  t.match(selected('moon.landed'), [{ value: 'moon.landed', label: 'moon.landed' }])
  t.equal(actionChoices('moon.landed').length, actionChoices('').length + 1)
})
