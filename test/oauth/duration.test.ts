import t from 'tap'
import { formatDuration, parseDuration } from '../../server/oauth/duration.ts'

t.test(
  'durations are parsed in their unit, and formatted in the largest that divides them',
  async (t) => {
    const cases = { '45s': 45, '90m': 5400, '12h': 43_200, '30d': 2_592_000 }
    for (const [text, seconds] of Object.entries(cases)) {
      t.equal(parseDuration(text), seconds)
      t.equal(formatDuration(seconds), text)
    }
    t.equal(formatDuration(7 * 86_400 + 1), '604801s')
    for (const text of ['', '1', 'd', '1w', '-1d', '1.5h', '1234567890s', 'constructor']) {
      t.throws(() => parseDuration(text), { code: 'invalid_request' }, text)
    }
  },
)
