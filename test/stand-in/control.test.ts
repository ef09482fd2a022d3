import t from 'tap'
import { switchDefaults } from '../../server/stand-in/app.ts'
import { get, refresh, send, start } from './helper.ts'

t.test('switches are listed and changed', async (t) => {
  const running = await start(t, { switches: { rotation: 'grace' } })
  const control = `${running.url}/control`
  const { body } = await get(control)
  t.strictSame(body.switches, { ...switchDefaults, rotation: 'grace' })
  t.strictSame(body.faults, [])
  const changed = await send('POST', control, { rotation: 'always', tokenLifetime: 5 })
  t.match(changed.body.switches, { rotation: 'always', tokenLifetime: 5 })
  t.match(running.standIn.switches, { rotation: 'always', tokenLifetime: 5, askAgain: false })
  const wrong: [unknown, RegExp][] = [
    [{ rotaton: 'never' }, /rotaton/],
    [{ rotation: 'sometimes' }, /rotation/],
    [{ tokenLifetime: '60' }, /tokenLifetime/],
    [{ askAgain: 1 }, /askAgain/],
    ['rotation', /object/],
  ]
  for (const [change, message] of wrong) {
    const refused = await send('POST', control, change)
    t.equal(refused.status, 400)
    t.match(refused.body.message, message)
  }
  const form = await fetch(control, {
    method: 'POST',
    body: new URLSearchParams({ rotation: 'never' }),
  })
  t.equal(form.status, 415, 'a form on another site cannot change switches')
  t.equal(running.standIn.switches.rotation, 'always')
})

t.test('call counts are reset', async (t) => {
  const running = await start(t)
  await refresh(running, running.standIn.grant('bo'))
  t.equal((await get(`${running.url}/control`)).body.calls.refresh, 1)
  t.equal((await send('DELETE', `${running.url}/control/calls`)).body.calls.refresh, 0)
})

t.test('faults are added and cleared', async (t) => {
  const running = await start(t)
  const faults = `${running.url}/control/faults`
  const good = [
    { endpoint: 'refresh', kind: 'status', status: 429, retryAfter: 5, times: 2 },
    { endpoint: 'account', kind: 'status', status: 503, retryAfter: 'soon', worked: true },
    { endpoint: 'token', kind: 'late', milliseconds: 100, share: 0.5 },
    { endpoint: 'refresh', kind: 'hang', worked: true },
    { endpoint: 'refresh', kind: 'cut-after' },
  ]
  for (const fault of good) t.equal((await send('POST', faults, fault)).status, 200)
  t.strictSame((await get(`${running.url}/control`)).body.faults, good)
  const wrong = [
    { endpoint: 'refresh' },
    { endpoint: 'nowhere', kind: 'hang' },
    { endpoint: 'refresh', kind: 'sulk' },
    { endpoint: 'refresh', kind: 'status' },
    { endpoint: 'refresh', kind: 'status', status: '500' },
    { endpoint: 'refresh', kind: 'late' },
    { endpoint: 'refresh', kind: 'hang', share: 2 },
    { endpoint: 'refresh', kind: 'hang', times: 0 },
    { endpoint: 'refresh', kind: 'cut-after', milliseconds: 5 },
  ]
  for (const fault of wrong) {
    const refused = await send('POST', faults, fault)
    t.equal(refused.status, 400, JSON.stringify(fault))
    t.match(refused.body, { message: String })
  }
  t.strictSame((await send('DELETE', faults)).body.faults, [])
})

t.test('refresh tokens are granted, checked and revoked without a browser', async (t) => {
  const running = await start(t)
  const control = (path: string, body: unknown) =>
    send('POST', `${running.url}/control/${path}`, body)
  const usernames = ['amelie', 'carla']
  const { body } = await control('grants', { usernames })
  const [first, second] = body.refresh_tokens
  t.equal((await refresh(running, second)).status, 200)
  const foreign = await control('grants', { usernames, client_id: 'other' })
  const tokens = [first, second, foreign.body.refresh_tokens[0], 'nonsense']
  const readHonoured = async () =>
    (await control('honours', { refresh_tokens: tokens })).body.honoured
  t.strictSame(await readHonoured(), [true, true, true, false])
  t.equal((await control('revoke', { refresh_token: first })).status, 200)
  t.strictSame(await readHonoured(), [false, true, true, false])
  t.equal((await refresh(running, first)).body.error, 'invalid_grant')
  for (const path of ['grants', 'honours', 'revoke']) t.equal((await control(path, {})).status, 400)
})
