import { randomBytes } from 'node:crypto'
import t from 'tap'
import { hashPassword, verifyPassword } from '../../server/admin/password.ts'
import { Secret } from '../../server/secret.ts'

t.test('a password proves itself, and no other does', async (t) => {
  const phc = await hashPassword(new Secret('correct horse battery'), randomBytes)
  t.match(phc, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  t.equal(await verifyPassword(new Secret('correct horse battery'), phc), true)
  t.equal(await verifyPassword(new Secret('correct horse batterx'), phc), false)
  t.equal(await verifyPassword(new Secret('x'), 'no PHC string'), false)
})

t.test('a string that no password can have made is no wrong password', async (t) => {
  await t.rejects(verifyPassword(new Secret('x'), '$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA'))
})
