import t from 'tap'
import { InvalidValue } from '../../server/config/parse.ts'
import { createReader } from '../../server/config/reader.ts'

const reader = () => createReader({ BROKER_NAME: 'x' }, () => '')

t.test('problems that a parser finds are collected', async (t) => {
  const { optional, problems } = reader()
  const reject = () => {
    throw new InvalidValue('is too short.')
  }
  t.equal(optional('BROKER_NAME', reject), null)
  t.match(problems, [{ name: 'BROKER_NAME', problem: 'is too short.' }])
})

t.test('other errors of a parser are thrown', async (t) => {
  const { optional, problems } = reader()
  const broken = () => {
    throw new TypeError('broken')
  }
  t.throws(() => optional('BROKER_NAME', broken), TypeError)
  t.strictSame(problems, [])
})
