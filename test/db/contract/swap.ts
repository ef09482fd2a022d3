import type { Test } from 'tap'
import { revokeKey } from '../../../server/crypto/key-set.ts'
import type { OpenStore } from '../contract.ts'
import {
  addSigningKey,
  begin,
  connect,
  newApp,
  newGrant,
  newSigningKey,
  NOW,
  removeApp,
  updateSigningKeys,
} from '../rows.ts'
import { race } from './race.ts'

const HOUR = 3_600_000

export function testSwap(t: Test, open: OpenStore): void {
  t.test('a swap reads key, grant, app and connection as they are now', async (t) => {
    const store = await open(t)
    await store.addApp(
      newApp('app', { confidential: true, tokenLifetimeSeconds: 60, requestsPerMinute: 60 }),
      [],
    )
    await addSigningKey(store, newSigningKey('k1'))
    await connect(store)
    await begin(store, newGrant('grant', { jkt: 'thumbprint' }))
    const { id, appId, connectionId, scope, jti, previousJti, ...rest } = newGrant('grant', {
      jkt: 'thumbprint',
    })
    const { device, browserHash, lastUsedAt, externalId, ...token } = rest
    const grant = { id, appId, connectionId, scope, jti, previousJti, ...token }
    const read = () => store.getSwapState({ grantId: 'grant', kid: 'k1' })
    const state = {
      keyStatus: 'active',
      grant,
      app: {
        id: 'app',
        confidential: true,
        tokens: 'broker',
        tokenLifetimeSeconds: 60,
        grantLifetimeSeconds: null,
        dpop: 'optional',
        access: 'token',
        readOnly: false,
        allow: [],
        requestsPerMinute: 60,
        requestsPerDay: null,
        session: 'token',
        offline: false,
        secrets: [],
      },
      connection: { id: 'con', status: 'active', generation: 2 },
    }
    t.strictSame(await read(), state)
    t.equal(await store.getSwapState({ grantId: 'another', kid: 'k1' }), undefined)
    const otherKey = await store.getSwapState({ grantId: 'grant', kid: 'k2' })
    t.strictSame(otherKey, { ...state, keyStatus: null })

    await updateSigningKeys(store, (keys) => revokeKey(keys, 'k1', NOW))
    await store.revokeConnection({ id: 'con', now: NOW, events: [] })
    await removeApp(store, 'app', [])
    t.strictSame(await read(), {
      keyStatus: 'revoked',
      grant: { ...grant, revokedAt: NOW },
      app: null,
      connection: { id: 'con', status: 'revoked', generation: 3 },
    })
  })

  t.test('the first use of the current token is recorded once', async (t) => {
    const store = await open(t)
    await connect(store)
    await begin(store, newGrant('grant', { jti: 'j' }))
    const use = (expectedJti: string, jti: string) =>
      store.useJti({ grantId: 'grant', expectedJti, jti, now: NOW + 1 })
    t.equal(await use('another', 'another'), false)
    t.equal((await store.getGrant('grant'))?.jtiUsedAt, null)
    const [jti] = await race(t, ['j', 'alternative'], (jti) => use('j', jti))
    t.match(await store.getGrant('grant'), { jti, jtiUsedAt: NOW + 1 })
  })

  t.test('the first use of another successor makes it the current token', async (t) => {
    const store = await open(t)
    await connect(store)
    await begin(store, newGrant('grant', { jti: 'j', successorsSinceSeconds: 5 }))
    const use = (jti: string) => store.useJti({ grantId: 'grant', expectedJti: 'j', jti, now: NOW })
    t.equal(await use('alternative'), true)
    t.match(await store.getGrant('grant'), { jti: 'alternative', jtiUsedAt: NOW })
    t.equal(await use('j'), false)
  })

  t.test('a grant is renewed from its current token only', async (t) => {
    const store = await open(t)
    await connect(store)
    await begin(store, newGrant('grant', { jti: 'j1' }))
    await store.useJti({ grantId: 'grant', expectedJti: 'j1', jti: 'j1', now: NOW })
    const renew = (expectedJti: string, jti: string) => {
      const times = { issuedAtSeconds: 5, expiresAtSeconds: 9, successorsSinceSeconds: 3 }
      const expected = { expectedJti, previousJti: expectedJti }
      return store.renewGrant({ grantId: 'grant', ...expected, jti, ...times })
    }
    const [jti] = await race(t, ['j2', 'j3'], (jti) => renew('j1', jti))
    t.match(await store.getGrant('grant'), {
      jti,
      previousJti: 'j1',
      jtiUsedAt: null,
      successorsSinceSeconds: 3,
      issuedAtSeconds: 5,
      expiresAtSeconds: 9,
    })
    await store.revokeGrants({ id: 'grant', now: NOW, events: [] })
    t.equal(await renew(jti, 'j4'), false, 'a revoked grant isn’t renewed')
  })

  t.test('use is counted by app, hour and outcome', async (t) => {
    const store = await open(t)
    await connect(store)
    await begin(store, newGrant('grant'))
    const kind = 'swap' as const
    const row = (fields: object) => ({
      appId: 'a',
      hour: NOW,
      kind,
      outcome: 'ok',
      count: 1,
      ...fields,
    })
    const used = (lastUsedAt: number) => [{ id: 'grant', lastUsedAt }]
    const later = NOW + HOUR
    await store.recordUse({
      grants: used(NOW + 9),
      counts: [row({ count: 3 }), row({ appId: 'b' })],
    })
    await store.recordUse({
      grants: used(NOW + 5),
      counts: [row({ count: 4 }), row({ hour: later })],
    })
    await store.recordUse({ grants: [], counts: [row({ outcome: 'invalid_token' })] })
    t.equal((await store.getGrant('grant'))?.lastUsedAt, NOW + 9, 'the latest')
    await store.recordUse({ grants: [], counts: [row({ appId: null, kind: 'refresh' })] })
    const sums = async (appId: string | null, since: number, stretchMs = HOUR) =>
      (await store.sumUsage({ appId, since, stretchMs })).map(
        ({ start, kind, outcome, count }) => `${(start - NOW) / HOUR} ${kind} ${outcome} ${count}`,
      )
    t.strictSame(await sums('a', NOW), ['0 swap invalid_token 1', '0 swap ok 7', '1 swap ok 1'])
    t.strictSame(await sums('b', NOW), ['0 swap ok 1'])
    t.strictSame(await sums('a', NOW + HOUR), ['1 swap ok 1'])
    t.strictSame(await sums('a', NOW, 2 * HOUR), ['0 swap invalid_token 1', '0 swap ok 8'])
    t.strictSame(
      await sums(null, NOW),
      ['0 refresh ok 1', '0 swap invalid_token 1', '0 swap ok 8', '1 swap ok 1'],
      'all apps together, and what belongs to none',
    )
    t.strictSame(await store.sumUsage({ since: NOW + HOUR }), [
      { appId: 'a', start: NOW + HOUR, kind: 'swap', outcome: 'ok', count: 1 },
    ])
    t.strictSame(
      (await store.sumUsage({ since: NOW })).map(({ appId, outcome, count }) => [
        ...[appId, outcome, count],
      ]),
      [
        ['a', 'invalid_token', 1],
        ['a', 'ok', 8],
        ['b', 'ok', 1],
      ],
      'each app by itself',
    )
  })

  t.test('the upstream state is merged from what processes saw', async (t) => {
    const store = await open(t)
    const nothing = { answeredAt: null, failedAt: null, failingSince: null, lastError: null }
    t.strictSame(await store.getUpstream(), nothing)
    const well = { ...nothing, answeredAt: NOW }
    await store.recordUpstream(well)
    t.strictSame(await store.getUpstream(), well)
    const failing = { failedAt: NOW + 9, failingSince: NOW + 5, lastError: 'late' }
    await store.recordUpstream({ ...nothing, ...failing })
    t.strictSame(await store.getUpstream(), { answeredAt: NOW, ...failing })
    await store.recordUpstream({
      ...well,
      failedAt: NOW + 7,
      failingSince: NOW + 2,
      lastError: 'early',
    })
    t.strictSame(await store.getUpstream(), {
      answeredAt: NOW,
      failedAt: NOW + 9,
      failingSince: NOW + 2,
      lastError: 'late',
    })
    await store.recordUpstream({ ...nothing, answeredAt: NOW + 10 })
    t.match(await store.getUpstream(), { answeredAt: NOW + 10, failingSince: null })
  })
}
