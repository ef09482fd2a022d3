import t from 'tap'
import { fieldReader, validationMessage } from '../../../../server/http/routes/admin/request.ts'
import { BrokerError } from '../../../../server/errors.ts'

t.test('a field is read as text; missing and repeated fields are empty', async (t) => {
  const field = fieldReader({ one: 'a', twice: ['a', 'b'] })
  t.equal(field('one'), 'a')
  t.equal(field('twice'), '')
  t.equal(field('none'), '')
  t.equal(field('toString'), '')
})

t.test('only an invalid request has a message for the form; other errors are thrown', async (t) => {
  t.equal(
    validationMessage(new BrokerError('invalid_request', { description: 'Too short.' })),
    'Too short.',
  )
  t.throws(() => validationMessage(new BrokerError('slow_down')), { code: 'slow_down' })
  t.throws(() => validationMessage(new Error('disk')), { message: 'disk' })
})
