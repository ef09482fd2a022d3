import t from 'tap'
import type { Store } from '../../db/store.ts'
import { changeOwner } from '../../server/data/change-owner.ts'
import { loadConfig } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'
import { startServices } from '../../server/services.ts'
import { connectMany } from './load.ts'
import { buildHeadless, swapOutcome } from './headless.ts'
import { listConnections } from '../db/rows.ts'

const silent = createLog({ logLevel: 'silent' })

t.test('after a client change every connection needs to reconnect', async (t) => {
  const { env, start, clock, standIn } = await buildHeadless(t)
  const first = await start()
  const devices = await connectMany(first, 2)
  const { subject_key: subjectKey } = await first.services.store.getMeta()
  const config = loadConfig({ ...env, ELLIPSIS_CLIENT_ID: 'another' }, { serve: true })
  const change = () => startServices(config, silent, { claim: 'anew' })
  await t.rejects(change(), /these processes use the previous one: \d+ \(serve\)/)
  await first.stop()
  await t.rejects(startServices(config, silent, { claim: 'same' }), /every user must then connect/)
  const changed = await change()
  t.teardown(() => changed.stop())
  t.match(await changed.store.getConnection('con_0'), {
    status: 'needs_reconnect',
    accountId: 'account-0',
    lastError: /another OAuth client/,
    refreshToken: Uint8Array,
  })
  t.equal((await changed.store.getMeta()).subject_key, subjectKey, 'accounts keep their subjects')
  const broker = { services: changed, standIn, clock }
  t.not(await swapOutcome(broker, devices[0]?.token ?? ''), 'ok')
})

t.test(
  'after an API change connections lose account and tokens, and no token is sent',
  async (t) => {
    const { env, start, clock, standIn, dataDir } = await buildHeadless(t)
    const other = await buildHeadless(t)
    const first = await start()
    const devices = await connectMany(first, 3)
    await first.services.store.identifyConnection({ id: 'con_2', accountId: null, username: 'ada' })
    const { subject_key: subjectKey } = await first.services.store.getMeta()
    await first.stop()
    const config = loadConfig(
      { ...env, ELLIPSIS_API_URL: other.env.ELLIPSIS_API_URL ?? '', BROKER_DATA_DIR: dataDir },
      { serve: true },
    )
    const services = await startServices(config, silent, { claim: 'anew' })
    t.teardown(() => services.stop())
    t.match(await services.store.getConnection('con_0'), {
      status: 'needs_reconnect',
      accountId: null,
      refreshToken: null,
      accessToken: null,
      lastError: /this broker now works with http/,
    })
    const changed = await services.store.getMeta()
    t.match(changed.subject_key, /^[A-Za-z0-9_-]{43}$/)
    t.not(changed.subject_key, subjectKey, 'another account there does not get the same subject')
    const broker = { services, standIn, clock }
    for (const { token } of devices) t.equal(await swapOutcome(broker, token), 'needs_reconnect')
    await t.rejects(services.connections.refresh('con_0', 'test'), { code: 'needs_reconnect' })
    t.equal(other.standIn.calls.refresh, 0)
    t.equal(standIn.calls.refresh, 0)
  },
)

t.test('an interrupted change has to be completed', async (t) => {
  const { env, start, clock } = await buildHeadless(t)
  const first = await start()
  await connectMany(first, 2)
  const { store } = first.services
  const { client_id, api_url } = await store.getMeta()
  let batches = 0
  const dying: Store = {
    ...store,
    markConnectionsForReconnect: async (batch) => {
      if (++batches === 2) throw new Error('killed')
      return store.markConnectionsForReconnect({ ...batch, limit: 1 })
    },
  }
  const before = { client_id: client_id ?? '', api_url: api_url ?? '' }
  const place = { keepCopy: async () => undefined, clock }
  const after = { client_id: 'another', api_url: 'https://api.example.com' }
  await t.rejects(changeOwner(dying, before, after, place), /killed/)
  await first.stop()
  await t.rejects(start(), /change of the OAuth client or API .* was interrupted/)
  const changed = { ...env, ELLIPSIS_CLIENT_ID: 'another', ELLIPSIS_API_URL: after.api_url }
  const config = loadConfig(changed, { serve: true })
  const services = await startServices(config, silent, { claim: 'anew' })
  const all = await listConnections(services.store)
  t.ok(all.every(({ status, accountId }) => status === 'needs_reconnect' && accountId === null))
  await services.stop()
  await (await startServices(config, silent, { claim: 'same' })).stop()
  await (await startServices(config, silent, { claim: 'anew' })).stop()
})

t.test('a client or API without connections can be changed in the settings', async (t) => {
  const { env, start } = await buildHeadless(t)
  const mistyped = await start({ ELLIPSIS_CLIENT_ID: 'typo' })
  await t.rejects(start(), /use the previous one: \d+ \(serve\)/)
  await mistyped.stop()
  const elsewhere = await start({ ELLIPSIS_API_URL: 'http://127.0.0.1:9/v3' })
  await elsewhere.stop()
  const right = await start()
  await connectMany(right, 1)
  await right.stop()
  await t.rejects(start({ ELLIPSIS_CLIENT_ID: 'typo' }), /every user must then connect/)
  t.match((await (await start()).services.store.getMeta()).client_id, env.ELLIPSIS_CLIENT_ID)
})
