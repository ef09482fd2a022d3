import t from 'tap'
import {
  MAX_ATTEMPTS,
  MAX_PAUSE_MS,
  nextAttemptAt,
  sinkPauseMs,
} from '../../server/events/retries.ts'

const NOW = 1e12
const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS

/** The pause after a failed attempt, without its random part; `null`: the event is given up. */
function pauseAfter(attempts: number, more: { ageMs?: number; retryAfterMs?: number } = {}) {
  const { ageMs = 0, retryAfterMs } = more
  const failed = { attempts, createdAt: NOW - ageMs, retryAfterMs }
  const at = nextAttemptAt(failed, { now: NOW, random: (bytes) => Buffer.alloc(bytes) })
  return at === null ? null : at - NOW
}

t.test('the pauses are those that Standard Webhooks recommends', async (t) => {
  const pauses = Array.from({ length: MAX_ATTEMPTS }, (_, index) => pauseAfter(index + 1))
  t.strictSame(pauses, [
    ...[5 * SECOND_MS, 5 * MINUTE_MS, 30 * MINUTE_MS],
    ...[2, 5, 10, 14, 20, 24].map((hours) => hours * HOUR_MS),
    null,
  ])
})

t.test('a random part makes a pause up to 10 % longer', async (t) => {
  const random = (bytes: number) => Buffer.alloc(bytes, 0xff)
  const at = nextAttemptAt({ attempts: 4, createdAt: NOW }, { now: NOW, random })
  t.equal(at, NOW + 2 * HOUR_MS * 1.1)
})

t.test('a receiver can ask for a longer pause, of a day at most', async (t) => {
  t.equal(pauseAfter(1, { retryAfterMs: MINUTE_MS }), MINUTE_MS)
  t.equal(pauseAfter(2, { retryAfterMs: MINUTE_MS }), 5 * MINUTE_MS)
  t.equal(pauseAfter(1, { retryAfterMs: 1000 * HOUR_MS }), 24 * HOUR_MS)
  t.equal(MAX_PAUSE_MS, 24 * HOUR_MS * 1.1, 'the outbox shortens no pause of the schedule')
})

t.test('an event is given up after five days, however few attempts were made', async (t) => {
  t.equal(pauseAfter(1, { ageMs: 5 * 24 * HOUR_MS }), 5 * SECOND_MS)
  t.equal(pauseAfter(1, { ageMs: 5 * 24 * HOUR_MS + 1 }), null)
})

t.test('a receiver that fails three times in a row rests, up to five minutes', async (t) => {
  t.strictSame(
    [0, 1, 2, 3, 4, 5, 8, 9, 10, 100].map((failures) => sinkPauseMs(failures) / SECOND_MS),
    [0, 0, 0, 5, 10, 20, 160, 300, 300, 300],
  )
})
