import t from 'tap'
import type { Store } from '../../db/store.ts'
import { createUpstreamStatus } from '../../server/refresh/upstream-status.ts'
import { openTemporary } from '../db/temporary.ts'

const clock = (now: number) => ({ now: () => now++, sleep: async () => undefined })

t.test('an outage is told since its first failure, by its last, in every process', async (t) => {
  const { store } = await openTemporary(t)
  const one = createUpstreamStatus({ store, clock: clock(1000) })
  const other = createUpstreamStatus({ store, clock: clock(2000) })
  t.match(await one.state(), { answeredAt: null, failingSince: null })
  one.saw('ok')
  one.saw('failed')
  one.saw('503')
  t.match(await one.state(), { answeredAt: 1000, failingSince: 1001, lastError: /503/ })
  t.match(await other.state(), { failingSince: null }, 'not told yet')
  await one.flush()
  t.match(await other.state(), { failingSince: 1001 }, 'told to the others')
  for (const answer of ['refused', '400', 'refresh_token_lost'] as const) {
    other.saw(answer)
    await other.flush()
    t.match(await one.state(), { failingSince: null }, `${answer}: it is up`)
    one.saw('ok')
  }
})

t.test('each kind of trouble has its words', async (t) => {
  const { store } = await openTemporary(t)
  const upstream = createUpstreamStatus({ store, clock: clock(1000) })
  const words = {
    failed: /no answer/,
    unusable: /no sense/,
    misconfigured: /ELLIPSIS_CLIENT_ID/,
    '429': /fewer calls/,
    '502': /status 502/,
  } as const
  for (const [outcome, expected] of Object.entries(words)) {
    upstream.saw(outcome as keyof typeof words)
    t.match((await upstream.state()).lastError, expected)
  }
})

t.test('what could not be written is told the next time', async (t) => {
  const { store } = await openTemporary(t)
  let broken = true
  const recordUpstream: Store['recordUpstream'] = async (seen) => {
    if (broken) throw new Error('the disk is full')
    return store.recordUpstream(seen)
  }
  const upstream = createUpstreamStatus({ store: { ...store, recordUpstream }, clock: clock(1000) })
  upstream.saw('failed')
  await t.rejects(upstream.flush(), /disk/)
  broken = false
  await upstream.flush()
  t.match(await store.getUpstream(), { failedAt: 1000 })
})
