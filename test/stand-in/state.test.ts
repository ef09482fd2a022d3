import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { Visitor } from '../visitor.ts'
import { temporaryFolder } from '../temporary.ts'
import {
  LOGIN_BUTTONS,
  REDIRECT_URI,
  accessToken,
  authorize,
  authorizeUrl,
  get,
  redeem,
  refresh,
  send,
  start,
} from './helper.ts'
import type { TestStandIn } from './helper.ts'

/** A stand-in that keeps its data, and what starts it again as after a crash: without a stop. */
async function startKept(t: Test, options: Parameters<typeof start>[1] = {}) {
  const stateFile = join(temporaryFolder(t), 'stand-in.json')
  const again = () => start(t, { ...options, stateFile })
  return { stateFile, again, first: await again() }
}

const account = ({ apiUrl }: TestStandIn, token: string) =>
  get(`${apiUrl}/account`, { authorization: `Bearer ${token}` })

const grantTo = async ({ url }: TestStandIn, username: string): Promise<string> =>
  (await send('POST', `${url}/control/grants`, { usernames: [username] })).body.refresh_tokens[0]

t.test('tokens of a stand-in that keeps its data survive its restart', async (t) => {
  const { first, again, stateFile } = await startKept(t)
  const { body } = await redeem(first, await authorize(first))
  const second = await again()
  t.match(await account(second, body.access_token), { status: 200, body: { username: 'amelie' } })
  t.match((await refresh(second, body.refresh_token)).body, { refresh_token: body.refresh_token })
  t.equal(statSync(stateFile).mode & 0o777, 0o600)
  t.strictSame(readdirSync(join(stateFile, '..')), ['stand-in.json'])

  const other = await start(t)
  t.equal((await account(other, body.access_token)).status, 401, 'without the file, none does')
  t.match((await refresh(other, body.refresh_token)).body, { error: 'invalid_grant' })
})

t.test('opaque access tokens survive, and expire when they would have', async (t) => {
  const { first, again } = await startKept(t, { switches: { opaqueTokens: true } })
  const token = await accessToken(first)
  const second = await again()
  t.equal((await account(second, token)).status, 200)
  second.clock.advance(3600_000)
  t.equal((await account(second, token)).status, 401)
})

t.test('rotation continues where it was: reuse revokes the family', async (t) => {
  const { first, again } = await startKept(t, { switches: { rotation: 'always' } })
  const grant = await grantTo(first, 'carla')
  const next = (await refresh(first, grant)).body.refresh_token
  const second = await again()
  const newest = (await refresh(second, next)).body.refresh_token
  t.ok(second.standIn.honours(newest))
  const third = await again()
  t.match((await refresh(third, grant)).body, { error: 'invalid_grant' })
  const fourth = await again()
  t.match((await refresh(fourth, newest)).body, { error: 'invalid_grant' }, 'also after a restart')
})

t.test('users and their consent stay', async (t) => {
  const { first, again } = await startKept(t)
  await authorize(first)
  await grantTo(first, 'carla')
  const second = await again()
  t.match((await get(second.url)).body.users, [{}, {}, { username: 'carla' }])
  const visitor = new Visitor()
  const login = await visitor.open(authorizeUrl(second), REDIRECT_URI)
  const back = await visitor.press(login, LOGIN_BUTTONS.amelie, {}, REDIRECT_URI)
  t.match(back.url, `${REDIRECT_URI}?code=`, 'amelie is not asked again')
})

t.test('a token is saved before its answer is lost', async (t) => {
  const { first, again } = await startKept(t, { switches: { rotation: 'always' } })
  const grant = await grantTo(first, 'bo')
  first.standIn.addFault({ endpoint: 'refresh', kind: 'cut-after' })
  await t.rejects(refresh(first, grant))
  const second = await again()
  t.match((await refresh(second, grant)).body, { error: 'invalid_grant' }, 'it was used')
})

t.test('a damaged file is named', async (t) => {
  const stateFile = join(temporaryFolder(t), 'stand-in.json')
  writeFileSync(stateFile, '{')
  await t.rejects(start(t, { stateFile }), { message: `${stateFile} can't be read. Delete it` })
})
