import t from 'tap'
import { lifetimeSeconds } from '../../server/ellipsis/tokens.ts'

const NOW_SECONDS = 1_800_000_000
const DEFAULT_SECONDS = 1800
const DAY_SECONDS = 86_400

const life = (value: string, expiresIn?: unknown) =>
  lifetimeSeconds({ value, expiresIn }, NOW_SECONDS * 1000, DEFAULT_SECONDS)

const jwt = (claims: unknown) =>
  `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.signature`

t.test('expires_in as a number or a string', async (t) => {
  const told: [unknown, number][] = [
    [1, 1],
    [600, 600],
    ['600', 600],
    [600.9, 600],
    ['600.9', 600],
    [31 * DAY_SECONDS, 31 * DAY_SECONDS],
  ]
  for (const [expiresIn, seconds] of told) t.equal(life('opaque', expiresIn), seconds)
})

t.test('an implausible expires_in is ignored', async (t) => {
  const odd = [0, -1, 0.5, NaN, Infinity, 31 * DAY_SECONDS + 1, 3_600_000, NOW_SECONDS + 3600]
  const texts = ['', '-1', '1e3', '0x10', ' 600', 'soon', '9'.repeat(400)]
  for (const expiresIn of [...odd, ...texts, null, undefined, true, [600], {}]) {
    t.equal(life('opaque', expiresIn), DEFAULT_SECONDS, JSON.stringify(expiresIn))
  }
})

t.test('without expires_in, the exp of a JWT counts', async (t) => {
  t.equal(life(jwt({ exp: NOW_SECONDS + 900 })), 900)
  t.equal(life(jwt({ exp: NOW_SECONDS + 900 }), 600), 600, 'expires_in takes precedence')
  t.equal(life(jwt({ exp: NOW_SECONDS + 900 }), 'soon'), 900)
  for (const exp of [
    NOW_SECONDS,
    NOW_SECONDS - 900,
    NOW_SECONDS + 32 * DAY_SECONDS,
    '2030',
    null,
  ]) {
    t.equal(life(jwt({ exp })), DEFAULT_SECONDS, 'implausible exp')
  }
})

t.test(
  'the shorter of a JWT’s remaining and total lifetime counts, because clocks differ',
  async (t) => {
    const behind = { exp: NOW_SECONDS + 4500, iat: NOW_SECONDS + 3600 }
    t.equal(life(jwt(behind)), 900, 'the broker’s clock is an hour behind')
    t.equal(life(jwt({ exp: NOW_SECONDS + 100, iat: NOW_SECONDS - 800 })), 100, 'issued before')
    t.equal(life(jwt({ exp: NOW_SECONDS + 100, iat: NOW_SECONDS + 200 })), 100, 'implausible iat')
  },
)

t.test('tokens that are not a JWT have the default lifetime', async (t) => {
  const payload = jwt({ exp: NOW_SECONDS + 900 }).split('.')[1]
  const others = ['opaque', `e30.${payload}`, `e30.${payload}.x.y`, 'a.!!!.c', 'a..c']
  for (const token of [...others, jwt(null), jwt([]), jwt('text'), jwt(7)]) {
    t.equal(life(token), DEFAULT_SECONDS, token)
  }
})
