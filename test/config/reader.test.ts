import t from 'tap'
import { createReader } from '../../server/config/reader.ts'

t.test('a parser that breaks is no problem of the setting', async (t) => {
  const reader = createReader({ BROKER_NAME: 'x' }, () => '')
  const broken = () => {
    throw new TypeError('broken')
  }
  t.throws(() => reader.optional('BROKER_NAME', broken), TypeError)
  t.strictSame(reader.problems, [])
})
