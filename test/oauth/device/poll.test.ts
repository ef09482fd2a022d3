import t from 'tap'
import { recordPoll } from '../../../server/oauth/device-flow.ts'
import { newDeviceCode, NOW } from '../../db/rows.ts'

t.test('polls that come too soon make the interval longer', async (t) => {
  let polled = newDeviceCode('code')
  const poll = (after: number) => {
    polled = recordPoll(polled, NOW + after)
    return [polled.polledAt, polled.intervalSeconds]
  }
  t.strictSame(poll(0), [NOW, 5], 'the first is never too soon')
  t.strictSame(poll(5_000), [NOW + 5_000, 5])
  t.strictSame(poll(9_000), [NOW + 9_000, 10])
  t.strictSame(poll(15_000), [NOW + 15_000, 15])
  t.strictSame(poll(30_000), [NOW + 30_000, 15])
  t.strictSame(poll(44_600), [NOW + 44_600, 15], 'half a second too soon is accepted')
})
