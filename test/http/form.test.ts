import fc from 'fast-check'
import t from 'tap'
import { parseForm } from '../../server/http/form.ts'

t.test('reads what URLSearchParams writes', async (t) => {
  const text = fc.string({ unit: 'grapheme' })
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text)), (pairs) => {
      const params = new URLSearchParams(pairs)
      const expected = [...new Set(params.keys())].map((name) => {
        const values = params.getAll(name)
        return [name, values.length === 1 ? values[0] : values]
      })
      t.strictSame({ ...parseForm(params.toString()) }, Object.fromEntries(expected))
    }),
  )
})

t.test('reads other forms as browsers and libraries mean them', async (t) => {
  const read = (text: string) => ({ ...parseForm(text) })
  t.strictSame(read(''), {})
  t.strictSame(read('&&a=1&'), { a: '1' })
  t.strictSame(read('a&b=&=c'), { a: '', b: '', '': 'c' })
  t.strictSame(read('a=b=c&a=+%2B'), { a: ['b=c', ' +'] })
  t.strictSame(read('a=1&a=2&a=3'), { a: ['1', '2', '3'] })
  t.strictSame(read('a=100%&%zz=%C3%28'), { a: '100%', '%zz': '%C3%28' }, 'cannot be decoded')
  const { __proto__: value, toString: method } = parseForm('__proto__=x')
  t.strictSame([value, method], ['x', undefined], 'names are no properties of all objects')
})
