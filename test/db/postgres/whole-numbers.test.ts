import t from 'tap'
import { toPostgres } from '../../../db/postgres/statement.ts'

t.test(
  'a fraction of a millisecond is rounded, as a column of whole numbers refuses it',
  async (t) => {
    t.same(toPostgres('select ?', [1.6]).values, [2])
    t.same(toPostgres('select @name', [{ name: 1796054545340.831 }]).values, [1796054545341])
  },
)
