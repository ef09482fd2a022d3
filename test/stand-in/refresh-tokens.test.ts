import t from 'tap'
import type { Running } from './helper.ts'
import { accessToken, get, refresh, start } from './helper.ts'

/** Refreshes; answers the refresh token that came back, or the error. */
async function use(running: Running, token: string): Promise<string> {
  const { body } = await refresh(running, token)
  return body.refresh_token ?? body.error
}

t.test('never: the same token stays', async (t) => {
  const running = await start(t, { switches: { rotation: 'never' } })
  const token = running.standIn.grant('amelie')
  t.equal(await use(running, token), token)
  t.equal(await use(running, token), token)
})

t.test('always: a new token each time; a reused one ends the family', async (t) => {
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
  t.notOk(standIn.honours(third), 'the newest is gone as well')
  t.equal(await use(running, third), 'invalid_grant')
  t.ok(standIn.honours(bystander), 'another authorization of the same user is not touched')
})

t.test('grace: the old one works until the new one is first used', async (t) => {
  const running = await start(t, { switches: { rotation: 'grace' } })
  const { standIn } = running
  const first = standIn.grant('amelie')
  const second = await use(running, first)
  t.not(second, first)
  t.ok(standIn.honours(first))
  t.equal(await use(running, first), second, 'asked again, it gives the same new one')
  const third = await use(running, second)
  t.strictSame(
    [first, second, third].map((token) => standIn.honours(token)),
    [false, true, true],
  )
  t.equal(await use(running, first), 'invalid_grant')
  t.ok(standIn.honours(third), 'a refusal harms nobody')
})

t.test('grace: sixty seconds at most', async (t) => {
  const running = await start(t, { switches: { rotation: 'grace' } })
  const first = running.standIn.grant('amelie')
  const second = await use(running, first)
  running.clock.advance(59_999)
  t.equal(await use(running, first), second)
  running.clock.advance(1)
  t.equal(await use(running, first), 'invalid_grant', 'being asked again did not lengthen it')
  const { refreshTokens } = running.standIn
  t.match(refreshTokens.status(first), { honoured: false, graceUntil: Number })
  t.match(refreshTokens.status(second), { honoured: true, graceUntil: null })
  t.not(await use(running, second), 'invalid_grant')
})

t.test('revoked: the family ends, access tokens live on', async (t) => {
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

t.test('the standing of a token: honoured, newest, and when its family ended', async (t) => {
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

  const end = (count: number) => {
    for (; count > 0; count--) standIn.revokeRefreshToken(standIn.grant('amelie'))
  }
  end(9999)
  t.strictSame(status(second), ended)
  end(1)
  t.strictSame(status(second), unknown, 'long ago')
})

t.test('a family remembers its last thousand spent tokens', async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const { refreshTokens, clients } = running.standIn
  const clientId = clients[0]?.id ?? ''
  const tokens = [running.standIn.grant('amelie')]
  for (let count = 0; count < 1003; count++) {
    tokens.push(refreshTokens.use(tokens.at(-1) ?? '', clientId)?.refreshToken ?? '')
  }
  const newest = tokens.at(-1) ?? ''
  t.equal(refreshTokens.use(tokens[0] ?? '', clientId), undefined)
  t.ok(running.standIn.honours(newest), 'forgotten: refused, but it ends nothing')
  t.equal(refreshTokens.use(tokens[500] ?? '', clientId), undefined)
  t.notOk(running.standIn.honours(newest), 'remembered: it ends the family')
})
