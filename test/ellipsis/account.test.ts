import t from 'tap'
import { createIdentify } from '../../server/connections/identify.ts'
import type { EllipsisClient, Tokens } from '../../server/ellipsis/client.ts'
import type { Log } from '../../server/log.ts'
import { runtime } from '../../server/runtime.ts'
import { readAccount } from '../../server/ellipsis/account.ts'
import { failureOf } from './upstream.ts'

const answer = (json: Record<string, unknown> | null, status = 200) => ({
  status,
  json,
  headers: new Headers(),
  isSafeMethod: true,
})

const read = (json: Record<string, unknown>) => readAccount(answer(json), 0)

t.test('readAccount: id and username', async (t) => {
  t.strictSame(read({ id: 'abc', username: 'ada', email: 'x' }), { id: 'abc', username: 'ada' })
  t.strictSame(read({ username: 'ada' }), { id: null, username: 'ada' })
  t.strictSame(read({}), { id: null, username: '' })
})

t.test('an id must identify exactly one account', async (t) => {
  for (const id of [0, 7, Number.MAX_SAFE_INTEGER]) t.equal(read({ id })?.id, String(id))
  const rounded: unknown = JSON.parse('9007199254740993')
  const unsure = [rounded, 1.5, '', 'a b', 'a\n', 'ä', 'x'.repeat(201), null, true, {}, ['a']]
  for (const id of unsure) t.equal(read({ id })?.id, null, JSON.stringify(id))
})

t.test('the username is safe to show anywhere', async (t) => {
  const cases: [unknown, string][] = [
    ['  Ada\tLovelace ', 'AdaLovelace'],
    ['ada\u001b[2J', 'ada[2J'],
    ['ada\u202egnp', 'adagnp'],
    ['a\u2028b\u0000', 'ab'],
    ['Æthel 字', 'Æthel 字'],
    ['علی\u200cرضا 👩\u200d🚒', 'علی\u200cرضا 👩\u200d🚒'],
    ['a\u200db\ufe0f', 'ab'],
    ['x'.repeat(500), 'x'.repeat(200)],
    ['🗺'.repeat(201), '🗺'.repeat(200)],
    ['a\ud800b', 'ab'],
    [7, ''],
    [null, ''],
  ]
  for (const [username, label] of cases) t.equal(read({ username })?.username, label)
})

t.test('null if OAuth tokens may not read the account', async (t) => {
  for (const status of [401, 403, 404]) {
    t.equal(readAccount(answer({ message: 'no' }, status), 0), null)
  }
})

t.test('other responses are transient errors', async (t) => {
  const failing = (json: Record<string, unknown> | null, status: number) =>
    failureOf(new Promise((resolve) => resolve(readAccount(answer(json, status), 0))))
  for (const status of [201, 204, 302, 400, 429, 500]) {
    const error = await failing({ id: 'abc' }, status)
    t.match(error, { kind: 'transient', status, maybeApplied: false })
  }
  t.match(await failing(null, 200), { kind: 'transient', status: 200, maybeApplied: false })
})

t.test('an account that is not told within eight seconds is unknown', async (t) => {
  const waited: number[] = []
  const clock = {
    now: () => 0,
    sleep: async (milliseconds: number) => void waited.push(milliseconds),
  }
  const client = { account: () => new Promise(() => undefined) }
  const warned: unknown[] = []
  const log = { warn: (line: unknown) => warned.push(line) }
  const identify = createIdentify({
    ...{ ellipsis: client as unknown as EllipsisClient, log: log as unknown as Log },
    ...{ clock, random: runtime.random },
  })
  t.strictSame(await identify({} as Tokens), { id: null, username: '' })
  t.strictSame(waited, [8000])
  t.match(warned, [{ err: /no answer within 8000 ms/ }])
})
