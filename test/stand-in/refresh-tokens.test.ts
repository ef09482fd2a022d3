import t from 'tap'
import type { TestStandIn } from './helper.ts'
import { accessToken, get, refresh, start } from './helper.ts'

/** Refreshes. Returns the refresh token of the response, or the error code. */
async function use(running: TestStandIn, token: string): Promise<string> {
  const { body } = await refresh(running, token)
  return body.refresh_token ?? body.error
}

t.test('rotation never: the token stays the same', async (t) => {
  const running = await start(t, { switches: { rotation: 'never' } })
  const token = running.standIn.grant('amelie')
  t.equal(await use(running, token), token)
  t.equal(await use(running, token), token)
})

t.test('rotation always: a new token each time; reuse revokes the family', async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const { standIn } = running
  const first = standIn.grant('amelie')
  const bystander = standIn.grant('amelie')
  const second = await use(running, first)
  const third = await use(running, second)
  t.equal(new Set([first, second, third]).size, 3)
  t.strictSame(
    [first, second, third].map((token) => standIn.honours(token)),
    [false, false, true],
  )
  t.equal(await use(running, first), 'invalid_grant')
  t.notOk(standIn.honours(third), 'the newest is revoked too')
  t.equal(await use(running, third), 'invalid_grant')
  t.ok(standIn.honours(bystander), 'another authorization of the same user stays valid')
})

t.test('rotation grace: the old token works until the new one is first used', async (t) => {
  const running = await start(t, { switches: { rotation: 'grace' } })
  const { standIn } = running
  const first = standIn.grant('amelie')
  const second = await use(running, first)
  t.not(second, first)
  t.ok(standIn.honours(first))
  t.equal(await use(running, first), second, 'a retry gets the same new token')
  const third = await use(running, second)
  t.strictSame(
    [first, second, third].map((token) => standIn.honours(token)),
    [false, true, true],
  )
  t.equal(await use(running, first), 'invalid_grant')
  t.ok(standIn.honours(third), 'a rejection revokes nothing')
})

t.test('rotation grace: the old token works for at most 60 seconds', async (t) => {
  const running = await start(t, { switches: { rotation: 'grace' } })
  const first = running.standIn.grant('amelie')
  const second = await use(running, first)
  running.clock.advance(59_999)
  t.equal(await use(running, first), second)
  running.clock.advance(1)
  t.equal(await use(running, first), 'invalid_grant', 'a retry does not extend the grace period')
  const { refreshTokens } = running.standIn
  t.match(refreshTokens.status(first), { honoured: false, graceUntil: Number })
  t.match(refreshTokens.status(second), { honoured: true, graceUntil: null })
  t.not(await use(running, second), 'invalid_grant')
})

t.test('revocation ends the family; access tokens stay valid', async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const { standIn } = running
  const token = await accessToken(running)
  const first = standIn.grant('amelie')
  const second = await use(running, first)
  standIn.revokeRefreshToken(first)
  t.notOk(standIn.honours(second))
  standIn.revokeRefreshToken('nonsense')
  t.equal((await get(`${running.apiUrl}/account?token=${token}`)).status, 200)
})

t.test('status: honoured, newest, and when the family was revoked', async (t) => {
  const now = Date.now()
  const running = await start(t, { switches: { rotation: 'always' }, now: () => now })
  const { standIn } = running
  const first = standIn.grant('amelie')
  const second = await use(running, first)
  const status = (token: string) => standIn.refreshTokens.status(token)
  const unknown = { honoured: false, newest: false, endedAt: null, graceUntil: null }
  t.strictSame(status(first), unknown)
  t.strictSame(status(second), { ...unknown, honoured: true, newest: true })
  standIn.revokeRefreshToken(second)
  const ended = { ...unknown, newest: true, endedAt: now }
  t.strictSame(status(second), ended)
  t.strictSame(status(first), unknown)
  t.strictSame(status('nonsense'), unknown)

  const revokeOthers = (count: number) => {
    for (; count > 0; count--) standIn.revokeRefreshToken(standIn.grant('amelie'))
  }
  revokeOthers(9999)
  t.strictSame(status(second), ended)
  revokeOthers(1)
  t.strictSame(status(second), unknown, 'no longer remembered')
})

t.test('a family remembers its last 1000 used tokens', async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const { refreshTokens, clients } = running.standIn
  const clientId = clients[0]?.id ?? ''
  const tokens = [running.standIn.grant('amelie')]
  for (let count = 0; count < 1003; count++) {
    tokens.push(refreshTokens.use(tokens.at(-1) ?? '', clientId)?.refreshToken ?? '')
  }
  const newest = tokens.at(-1) ?? ''
  t.equal(refreshTokens.use(tokens[0] ?? '', clientId), undefined)
  t.ok(running.standIn.honours(newest), 'a forgotten token is rejected and revokes nothing')
  t.equal(refreshTokens.use(tokens[500] ?? '', clientId), undefined)
  t.notOk(running.standIn.honours(newest), 'a remembered token revokes the family')
})
