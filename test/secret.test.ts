import { format, inspect } from 'node:util'
import t from 'tap'
import { Secret } from '../server/secret.ts'

t.test('a secret prints as [redacted], however it is printed', async (t) => {
  const secret = new Secret('hunter2')
  const printed = [
    secret.toString(),
    String(secret),
    JSON.stringify({ secret }),
    inspect({ deep: { secret } }, { depth: null, showHidden: true }),
    format('%s %o %j', secret, secret, secret),
  ]
  for (const text of printed) {
    t.match(text, '[redacted]')
    t.notMatch(text, 'hunter2')
  }
  t.equal(secret.reveal(), 'hunter2')
})
