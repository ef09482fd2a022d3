import { readFile } from 'node:fs/promises'
import t from 'tap'
import { createPasswords } from '../../server/admin/password.ts'
import { runtime } from '../../server/runtime.ts'
import { Secret } from '../../server/secret.ts'

/** With the real cost. */
const passwords = createPasswords(runtime)

t.test('only the right password verifies', async (t) => {
  const phc = await passwords.hash(new Secret('correct horse battery'))
  t.match(phc, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  t.equal(await passwords.verify(new Secret('correct horse battery'), phc), true)
  t.equal(await passwords.verify(new Secret('correct horse batterx'), phc), false)
  t.equal(await passwords.verify(new Secret('x'), 'no PHC string'), false)
  t.equal(await passwords.verify(new Secret('x'), undefined), false)
})

t.test('a password is verified with the cost of its hash', async (t) => {
  const { derive } = runtime.passwordHashing
  const costs: unknown[] = []
  const watched = createPasswords({
    random: runtime.random,
    passwordHashing: {
      cost: { memory: 8, passes: 1, parallelism: 1 },
      derive(parameters) {
        const { memory, passes, parallelism } = parameters
        costs.push([memory, passes, parallelism])
        return derive(parameters)
      },
    },
  })
  const phc = await passwords.hash(new Secret('correct horse battery'))
  t.equal(await watched.verify(new Secret('correct horse battery'), phc), true)
  t.match(await watched.hash(new Secret('correct horse battery')), /m=8,t=1,p=1/)
  t.equal(await watched.verify(new Secret('x'), undefined), false)
  t.strictSame(costs, [
    [19_456, 2, 1],
    [8, 1, 1],
    [8, 1, 1],
  ])
})

t.test('an impossible hash is an error, not a wrong password', async (t) => {
  await t.rejects(passwords.verify(new Secret('x'), '$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA'))
})

t.test('hashing many passwords leaves threads for other work', async (t) => {
  let done = 0
  const hashes = Array.from({ length: 30 }, () =>
    passwords.verify(new Secret('x'), undefined).finally(() => done++),
  )
  await readFile(import.meta.filename)
  t.ok(done < hashes.length, `a file was read when ${done} of ${hashes.length} were done`)
  await Promise.all(hashes)
})
