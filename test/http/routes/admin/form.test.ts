import t from 'tap'
import { formOf, problemOf } from '../../../../server/http/routes/admin/form.ts'
import { BrokerError } from '../../../../server/errors.ts'

t.test('a field is text, once', async (t) => {
  const field = formOf({ body: { one: 'a', twice: ['a', 'b'] } })
  t.equal(field('one'), 'a')
  t.equal(field('twice'), '')
  t.equal(field('none'), '')
  t.equal(field('toString'), '')
})

t.test('what was typed wrongly is told; anything else is an error', async (t) => {
  t.equal(
    problemOf(new BrokerError('invalid_request', { description: 'Too short.' })),
    'Too short.',
  )
  t.throws(() => problemOf(new BrokerError('slow_down')), { code: 'slow_down' })
  t.throws(() => problemOf(new Error('disk')), { message: 'disk' })
})
