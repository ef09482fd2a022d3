import fc from 'fast-check'
import t from 'tap'
import { lifetimeSeconds } from '../../server/ellipsis/tokens.ts'
import { size } from '../size.ts'

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

t.test('an expires_in of less than a second means expired at once', async (t) => {
  const numbers = [0, -0, 0.5, 0.999, -1, -0.5, -3600, -1e300, -Infinity]
  const texts = ['0', '-0', '0.0', '0.5', '000', '-1', '-1.5', `-${'9'.repeat(400)}`]
  for (const expiresIn of [...numbers, ...texts]) {
    t.equal(life('opaque', expiresIn), 0, String(expiresIn))
    t.equal(life(jwt({ exp: NOW_SECONDS + 900 }), expiresIn), 0, 'takes precedence over a JWT')
  }
})

t.test('any expires_in gives a whole number of seconds, never more than 31 days', async (t) => {
  const runs = Number(process.env.RUNS ?? size(300, 5000))
  const value = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.double().map(String),
    fc.integer().map(String),
    fc.jsonValue(),
  )
  const property = fc.property(value, (expiresIn) => {
    const seconds = life('opaque', expiresIn)
    const isWithin = Number.isInteger(seconds) && seconds >= 0 && seconds <= 31 * DAY_SECONDS
    return isWithin && (typeof expiresIn !== 'number' || !(expiresIn < 1) || seconds === 0)
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: runs }))
})

t.test('an implausible expires_in is ignored', async (t) => {
  const odd = [NaN, Infinity, 31 * DAY_SECONDS + 1, 3_600_000, NOW_SECONDS + 3600]
  const texts = ['', '1e3', '-', '--1', '-1e3', '+0', '0x10', ' 600', 'soon', '9'.repeat(400)]
  for (const expiresIn of [...odd, ...texts, null, undefined, true, false, [600], [0], {}]) {
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
