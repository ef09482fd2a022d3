import { readFile } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { createPasswords } from '../../server/admin/password.ts'
import type { Passwords, VerifyPassword } from '../../server/admin/password.ts'
import { runtime } from '../../server/runtime.ts'
import { Secret } from '../../server/secret.ts'
import { cheapHashing } from '../helper.ts'
import { size } from '../size.ts'

const verifyBy = (by: Passwords, ...typed: Parameters<VerifyPassword>) =>
  by.admit('known', (verify) => verify(...typed))

/** With the real cost. */
const passwords = createPasswords(runtime)

t.test('only the right password verifies', async (t) => {
  const phc = await passwords.hash(new Secret('correct horse battery'))
  t.match(phc, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  t.equal(await verifyBy(passwords, new Secret('correct horse battery'), phc), true)
  t.equal(await verifyBy(passwords, new Secret('correct horse batterx'), phc), false)
  t.equal(await verifyBy(passwords, new Secret('x'), 'no PHC string'), false)
  t.equal(await verifyBy(passwords, new Secret('x'), undefined), false)
})

t.test('every character of a long password counts', async (t) => {
  const cheap = createPasswords({ ...runtime, passwordHashing: cheapHashing })
  const password = `${'lower case and spaces only '.repeat(37)}end`
  t.ok(password.length > 1000)
  const phc = await cheap.hash(new Secret(password))
  const verify = (typed: string) => verifyBy(cheap, new Secret(typed), phc)
  t.equal(await verify(password), true)
  for (const typed of [
    password.slice(0, -1),
    `${password} `,
    ` ${password}`,
    password.toUpperCase(),
    password.slice(0, 64),
    password.slice(0, 72),
    `${password.slice(0, -1)}D`,
  ])
    t.equal(await verify(typed), false, typed.slice(-20))
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
  t.equal(await verifyBy(watched, new Secret('correct horse battery'), phc), true)
  t.match(await watched.hash(new Secret('correct horse battery')), /m=8,t=1,p=1/)
  t.equal(await verifyBy(watched, new Secret('x'), undefined), false)
  t.strictSame(costs, [
    [19_456, 2, 1],
    [8, 1, 1],
    [8, 1, 1],
  ])
})

t.test('an impossible hash is an error, not a wrong password', async (t) => {
  await t.rejects(verifyBy(passwords, new Secret('x'), '$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA'))
})

t.test('hashing many passwords leaves threads for other work', async (t) => {
  let done = 0
  const hashes = Array.from({ length: 30 }, () =>
    verifyBy(passwords, new Secret('x'), undefined).finally(() => done++),
  )
  await readFile(import.meta.filename)
  t.ok(done < hashes.length, `a file was read when ${done} of ${hashes.length} were done`)
  await Promise.all(hashes)
})

t.test('passwords compare equal however the keyboard composed them', async (t) => {
  const cheap = createPasswords({ ...runtime, passwordHashing: cheapHashing })
  const spellings = [
    ['caf\u00e9 au lait ok', 'cafe\u0301 au lait ok'],
    ['\u1100\u1161\u11a8 battery ok', '\uac01 battery ok'],
    ['Ａｎｎ battery 123', 'Ann battery １２３'],
    ['ﬁve \u212bngstr\u00f6m', 'five A\u030angstro\u0308m'],
    ['non\u00a0breaking space', 'non breaking space'],
    ['q\u0323\u0307 in any order', 'q\u0307\u0323 in any order'],
  ]
  for (const [one = '', other = ''] of spellings) {
    for (const [hashed, typed] of [
      [one, other],
      [other, one],
    ]) {
      const phc = await cheap.hash(new Secret(hashed ?? ''))
      t.equal(await verifyBy(cheap, new Secret(typed ?? ''), phc), true, typed ?? '')
    }
  }
  const phc = await cheap.hash(new Secret('caf\u00e9 au lait ok'))
  t.equal(await verifyBy(cheap, new Secret('cafe au lait ok'), phc), false, 'an accent counts')
  t.equal(await verifyBy(cheap, new Secret('Caf\u00e9 au lait ok'), phc), false, 'case counts')
})

t.test('hashes from before passwords were normalised still verify', async (t) => {
  const { cost, derive } = cheapHashing
  const hashRaw = async (message: string) => {
    const nonce = Buffer.alloc(16, 1)
    const tag = await derive({ message, nonce, ...cost, tagLength: 32 })
    return `$argon2id$v=19$m=8,t=1,p=1$${nonce.toString('base64')}$${tag.toString('base64')}`
  }
  const cheap = createPasswords({ ...runtime, passwordHashing: cheapHashing })
  for (const password of [
    'cafe\u0301 au lait ok',
    'ﬁve and more letters',
    'plain and long enough',
  ]) {
    const phc = await hashRaw(password)
    t.equal(await verifyBy(cheap, new Secret(password), phc), true, password)
    t.equal(await verifyBy(cheap, new Secret(`${password}x`), phc), false, password)
  }
})

t.test(
  'any password verifies in all its normal forms, and takes as long without an account',
  async () => {
    let derived = 0
    const counting = createPasswords({
      random: runtime.random,
      passwordHashing: {
        cost: cheapHashing.cost,
        derive: async (parameters) => {
          derived++
          return createHash('sha256')
            .update(parameters.message as string)
            .digest()
        },
      },
    })
    const countOf = async (work: Promise<boolean>) => {
      derived = 0
      return { isRight: await work, derived }
    }
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (password) => {
        const phc = await counting.hash(new Secret(password))
        for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD']) {
          if (!(await verifyBy(counting, new Secret(password.normalize(form)), phc))) return false
        }
        const wrong = new Secret(`${password}x`)
        const [known, unknown] = [
          await countOf(verifyBy(counting, wrong, phc)),
          await countOf(verifyBy(counting, wrong, undefined)),
        ]
        return !known.isRight && known.derived === unknown.derived
      }),
      { numRuns: Number(process.env.RUNS ?? size(300, 5000)) },
    )
  },
)
