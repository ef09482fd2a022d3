/** Who holds a grant's tokens: one app with all its accidents, or an app and a thief. More runs: `RUNS=1000`. */
import assert from 'node:assert/strict'
import { decodeJwt } from 'jose'
import fc from 'fast-check'
import t from 'tap'
import { BrokerError } from '../../../server/errors.ts'
import { addApp, buildBroker, connect } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { size } from '../../size.ts'

const RUNS = Number(process.env.RUNS ?? size(25, 200))
const DAY_SECONDS = 86_400
const HALF_SECONDS = DAY_SECONDS / 2

const expiryOf = (token: string): number => (decodeJwt(token).exp ?? 0) * 1000

/** Swaps, and returns the newer token, if there is one. `refused`: as expired, superseded or revoked. */
async function swap({ services }: TestBroker, brokerToken: string) {
  try {
    const { renewed } = await services.swap.swap({ brokerToken, client: null, proof: null })
    return renewed?.token ?? null
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'token_refused') return 'refused'
    throw error
  }
}

async function begin(t: Parameters<typeof buildBroker>[0]) {
  const broker = await buildBroker(t)
  broker.clock.stop()
  const app = await addApp(broker, { tokenLifetimeSeconds: DAY_SECONDS })
  const isRevoked = async (id: string) =>
    (await broker.services.store.getGrant(id))?.revokedAt !== null
  return { broker, app, isRevoked }
}

/** What happens to an app that stores one token for all its tabs. */
type Step = 'swap' | 'answer lost' | 'two at once' | 'late duplicate'

/** An abandoned request may still arrive after this time. */
const MAX_DELAY_SECONDS = 240

const seconds = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: 3 * 3600 }),
  fc.constantFrom(HALF_SECONDS - 60, HALF_SECONDS, HALF_SECONDS + 61),
)
const step = fc.constantFrom<Step>('swap', 'answer lost', 'two at once', 'late duplicate')
const steps = fc.array(fc.tuple(seconds, step), { minLength: 8, maxLength: 25 })

t.test(`${RUNS} lives of an app on its own: its grant is never revoked`, async (t) => {
  const { broker, app, isRevoked } = await begin(t)
  const wait = (s: number) => broker.clock.advance(s * 1000)
  const seen = { renewals: 0, alternatives: 0 }

  const live = async (list: [number, Step][]): Promise<void> => {
    const { brokerToken, grantId } = await connect(broker, app)
    let stored = brokerToken
    const use = async (token = stored) => {
      const renewed = await swap(broker, token)
      assert.notEqual(renewed, 'refused', 'an unexpired token works')
      return renewed ?? stored
    }
    const keep = (token: string) => {
      if (token !== stored) seen.renewals++
      stored = token
    }
    for (const [pause, kind] of list) {
      wait(pause)
      if (expiryOf(stored) - broker.clock.now() <= MAX_DELAY_SECONDS * 1000) break
      if (kind === 'swap') keep(await use())
      if (kind === 'answer lost') await use()
      if (kind === 'two at once') for (const token of await Promise.all([use(), use()])) keep(token)
      if (kind === 'late duplicate') {
        const sent = stored
        keep(await use())
        wait(pause % MAX_DELAY_SECONDS)
        await use(sent)
        keep(await use())
      }
      const grant = await broker.services.store.getGrant(grantId)
      if (grant?.successorsSinceSeconds !== null) seen.alternatives++
    }
    assert.equal(await isRevoked(grantId), false)
  }
  await t.resolves(fc.assert(fc.asyncProperty(steps, live), { numRuns: RUNS }))
  t.ok(seen.renewals > RUNS && seen.alternatives > RUNS / 4, JSON.stringify(seen))
})

/** Longer than a successor is repeated. */
const apart = fc.integer({ min: 61, max: 3600 })
const rounds = fc.array(fc.tuple(apart, apart, fc.boolean()), { minLength: 40, maxLength: 40 })
/** Enough for the five minutes in which a superseded token is accepted. */
const MAX_ROUNDS = 8

t.test(`${RUNS} thefts: two holders that both continue are noticed soon`, async (t) => {
  const { broker, app, isRevoked } = await begin(t)
  const steal = async (list: [number, number, boolean][]): Promise<void> => {
    const { brokerToken, grantId, claims } = await connect(broker, app)
    const halfLife = (Number(claims.iat) + HALF_SECONDS) * 1000
    const holders = [{ token: brokerToken }, { token: brokerToken }]
    let roundsPastHalf = 0
    broker.clock.advance((HALF_SECONDS - 1800) * 1000)
    for (const [first, second, swapped] of list) {
      if (broker.clock.now() > halfLife) roundsPastHalf++
      assert.ok(roundsPastHalf <= MAX_ROUNDS, `not noticed in ${MAX_ROUNDS} rounds`)
      for (const [index, pause] of [first, second].entries()) {
        broker.clock.advance(pause * 1000)
        const holder = holders[swapped ? 1 - index : index] as { token: string }
        const renewed = await swap(broker, holder.token)
        if (renewed === 'refused') {
          assert.equal(await isRevoked(grantId), true)
          for (const { token } of holders) assert.equal(await swap(broker, token), 'refused')
          return
        }
        if (renewed !== null) holder.token = renewed
      }
    }
    assert.fail('not noticed at all')
  }
  await t.resolves(fc.assert(fc.asyncProperty(rounds, steal), { numRuns: RUNS }))
})

t.test('a thief who asks all the time does not get the app’s successor each time', async (t) => {
  const { broker, app, isRevoked } = await begin(t)
  const { brokerToken, grantId } = await connect(broker, app)
  let [own, stolen] = [brokerToken, brokerToken]
  let generations = 0
  broker.clock.advance((HALF_SECONDS - 600) * 1000)
  for (let hour = 0; hour < 72 && !(await isRevoked(grantId)); hour++) {
    for (let passed = 0; passed < 3600; passed += 30) {
      broker.clock.advance(30_000)
      // The thief does not use the successor before the app does.
      const offered = await swap(broker, stolen)
      if (offered === 'refused') break
      if (passed === 2400) {
        const renewed = await swap(broker, own)
        if (renewed === 'refused') break
        if (renewed !== null) {
          generations++
          own = renewed
          stolen = offered ?? stolen
        }
      }
    }
  }
  t.equal(await isRevoked(grantId), true)
  t.ok(generations <= 2, `after ${generations} renewals`)
})
