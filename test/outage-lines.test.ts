import t from 'tap'
import { StoreUnavailableError } from '../db/errors.ts'
import { limitOutageLines } from '../server/log.ts'
import { testClock } from './clock.ts'

t.test('a store that can’t be used is logged once a minute by each loop', async (t) => {
  const clock = testClock({ frozen: true })
  const lines: string[] = []
  const note = (_details: object, message: string) => void lines.push(message)
  const log = limitOutageLines({ info: note, warn: note, error: note }, clock)
  const refused = { err: new StoreUnavailableError('ECONNREFUSED', null) }
  for (let n = 0; n < 3; n++) {
    log.error(refused, 'one')
    log.warn(refused, 'other')
  }
  t.strictSame(lines.splice(0), ['one', 'other'])
  log.error({ err: new StoreUnavailableError('53300', null) }, 'one')
  log.error({ err: new Error('a bug') }, 'one')
  log.error({ err: new Error('a bug') }, 'one')
  log.info(refused, 'one')
  t.equal(
    lines.splice(0).length,
    4,
    'another reason, other errors and other levels are not left out',
  )
  clock.advance(60_000)
  log.error(refused, 'one')
  t.strictSame(lines, ['one'])
})
