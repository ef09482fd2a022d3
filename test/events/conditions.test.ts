import t from 'tap'
import { createConditions } from '../../server/events/conditions.ts'
import { buildBroker } from '../helper.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

t.test('an outage is one event when it begins and one when it ends, whatever flaps', async (t) => {
  const broker = await buildBroker(t)
  const { services, clock } = broker
  let isDown = false
  const actions = async () =>
    (await services.store.listEvents({ limit: 50 })).rows
      .map(({ action }) => action)
      .filter((action) => /^upstream|needs_reconnect|recovered/.test(action))
      .reverse()
  const call = async () => {
    services.upstream.recordCall(isDown ? '503' : 'ok', 'refresh')
    await services.upstream.flush()
    await services.conditions.check()
  }
  await call()
  t.strictSame(await actions(), [])
  isDown = true
  await call()
  isDown = false
  clock.advance(MINUTE_MS)
  await call()
  t.strictSame(await actions(), [], 'shorter than a minute')
  isDown = true
  for (let minute = 0; minute < 5; minute++) {
    await call()
    clock.advance(MINUTE_MS)
  }
  await call()
  t.strictSame(await actions(), ['upstream.down'])
  isDown = false
  clock.advance(10 * MINUTE_MS)
  await call()
  t.strictSame(await actions(), ['upstream.down'], 'it may be one answer')
  clock.advance(MINUTE_MS)
  await call()
  await call()
  t.strictSame(await actions(), ['upstream.down', 'upstream.up'])
})

t.test(
  'credentials, storage and certificate: one event of all processes, until it is over',
  async (t) => {
    const { services, clock } = await buildBroker(t)
    const { store, log } = services
    let [refusedSince, acceptedSince]: [number | null, number | null] = [null, null]
    let [freeBytes, databaseBytes] = [1e9, 1e6]
    let expiresAt: number | null = null
    const upstream = {
      state: async () => ({
        answeredAt: null,
        failedAt: null,
        failingSince: null,
        lastError: null,
      }),
      clientRefusedSince: () => refusedSince,
      clientAcceptedSince: () => acceptedSince,
    }
    const create = () =>
      createConditions({
        ...{ store, upstream, clock, log },
        measureStorage: async () => ({ freeBytes, databaseBytes }),
        certificateExpiresAt: () => expiresAt,
      })
    const processes = [create(), create()]
    const added = async () => {
      const before = await store.lastEventId()
      for (const { check } of processes) await check()
      const { events } = await store.listPublicEvents({ after: before, appId: null, limit: 10 })
      return events.map(({ action }) => action)
    }
    t.strictSame(await added(), [])
    refusedSince = clock.now()
    t.strictSame(await added(), [])
    clock.advance(MINUTE_MS)
    t.strictSame(await added(), ['credentials.refused'])
    t.strictSame(await added(), [])
    ;[refusedSince, acceptedSince] = [null, clock.now() - MINUTE_MS]
    t.strictSame(await added(), [])
    ;[refusedSince, acceptedSince] = [clock.now() - MINUTE_MS, null]
    t.strictSame(await added(), ['credentials.refused'], 'again')

    databaseBytes = 6e8
    t.strictSame(await added(), ['storage.full'])
    databaseBytes = 4.9e8
    t.strictSame(await added(), [], 'hardly more')
    freeBytes = 2e9
    t.strictSame(await added(), [])
    freeBytes = 5e7
    t.strictSame(await added(), ['storage.full'])

    expiresAt = clock.now() + 15 * DAY_MS
    t.strictSame(await added(), [])
    clock.advance(2 * DAY_MS)
    t.strictSame(await added(), ['certificate.expiring'])
    t.strictSame(await added(), [])
    expiresAt = clock.now() + 80 * DAY_MS
    t.strictSame(await added(), [])
  },
)
