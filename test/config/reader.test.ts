import t from 'tap'
import { Wrong } from '../../server/config/parse.ts'
import { createReader } from '../../server/config/reader.ts'

const reader = () => createReader({ BROKER_NAME: 'x' }, () => '')

t.test('what a parser finds wrong is collected', async (t) => {
  const { optional, problems } = reader()
  const refuse = () => {
    throw new Wrong('is too short.')
  }
  t.equal(optional('BROKER_NAME', refuse), null)
  t.match(problems, [{ name: 'BROKER_NAME', wrong: 'is too short.' }])
})

t.test('a parser that breaks is no problem of the setting', async (t) => {
  const { optional, problems } = reader()
  const broken = () => {
    throw new TypeError('broken')
  }
  t.throws(() => optional('BROKER_NAME', broken), TypeError)
  t.strictSame(problems, [])
})
