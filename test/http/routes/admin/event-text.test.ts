import t from 'tap'
import type { Event } from '../../../../db/store.ts'
import { actionChoices, auditText } from '../../../../server/http/routes/admin/audit-text.ts'
import { actorText, eventText } from '../../../../server/http/routes/admin/event-text.ts'

const event = (action: string, details: string | null = null): Event =>
  ({ id: 1, at: 0, actor: 'system', action, details }) as Event

t.test('what happened is told in words, and times in it as people read them', async (t) => {
  const end = 'access tokens already out end by 2026-11-25T03:04:54.189Z'
  t.equal(
    eventText(event('connection.revoked', end), 'Map'),
    'Revoked, with every app and device: access tokens already out end by 25 Nov 2026, 03:04 UTC',
  )
  t.equal(
    eventText(event('device.allowed', 'Safari on iOS'), 'Map'),
    'A device code of Map was accepted, on Safari on iOS',
  )
  t.equal(auditText(event('key.revoked', 'k1'), ''), 'Signing key revoked: k1')
})

t.test('what has no words yet is told as it is called', async (t) => {
  t.equal(auditText(event('moon.landed'), ''), 'moon.landed')
  t.equal(auditText(event('app.removed'), 'Map'), 'Removed the app Map')
  t.equal(auditText(event('app.removed', 'Old map'), ''), 'Removed the app Old map')
})

t.test('who did it is told in words, admins by their address', async (t) => {
  t.equal(actorText('cli'), 'An operator, on the command line')
  t.equal(actorText('admin:ada@example.com'), 'ada@example.com')
})

t.test('the filter keeps a choice that it doesn’t know', async (t) => {
  const selected = (action: string) => actionChoices(action).filter((choice) => choice.selected)
  t.strictSame(selected(''), [])
  t.match(selected('key.revoked'), [{ words: 'Signing key revoked' }])
  t.match(selected('moon.landed'), [{ value: 'moon.landed', words: 'moon.landed' }])
  t.equal(actionChoices('moon.landed').length, actionChoices('').length + 1)
})
