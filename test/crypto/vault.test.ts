import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { createVault } from '../../server/crypto/vault.ts'
import { Secret } from '../../server/secret.ts'

const newKey = () => new Secret(randomBytes(32).toString('base64url'))
const associatedData = 'connections/con_1/refresh_token'

t.test('a sealed value opens with the same associated data', async (t) => {
  const vault = createVault(() => [newKey()], randomBytes)
  for (const text of ['', 'token', 'ü€😀', 'x'.repeat(16 * 1024)]) {
    t.equal(vault.open(associatedData, vault.seal(associatedData, new Secret(text))).reveal(), text)
  }
})

t.test('a value does not open with other associated data, or if it was changed', async (t) => {
  const vault = createVault(() => [newKey()], randomBytes)
  const sealed = vault.seal(associatedData, new Secret('token'))
  t.throws(() => vault.open('connections/con_2/refresh_token', sealed))
  t.throws(() => vault.open('connections/con_1/access_token', sealed))
  for (const at of [0, 12, 30, sealed.length - 1]) {
    const changed = Uint8Array.from(sealed)
    changed[at] = (changed[at] ?? 0) ^ 1
    t.throws(() => vault.open(associatedData, changed), `byte ${at}`)
  }
  t.throws(() => vault.open(associatedData, new Uint8Array(5)), 'truncated')
})

t.test('values have one of four sizes, so that a new value overwrites the old one', async (t) => {
  const vault = createVault(() => [newKey()], randomBytes)
  const size = (length: number) => vault.seal(associatedData, new Secret('x'.repeat(length))).length
  t.equal(size(0), size(300))
  t.equal(size(320), size(1000))
  t.equal(size(1200), size(4000))
  t.equal(size(5000), size(16 * 1024))
  t.throws(() => size(20_000), /too long/)
})

t.test('sealing the same secret twice gives different bytes, without the plaintext', async (t) => {
  const vault = createVault(() => [newKey()], randomBytes)
  const [one, two] = [0, 1].map(() =>
    Buffer.from(vault.seal(associatedData, new Secret('a-secret'))),
  )
  t.notSame(one, two)
  t.notOk(one?.includes('a-secret'))
  t.notMatch(inspect(vault.open(associatedData, one ?? new Uint8Array())), 'a-secret')
})

t.test('the first key seals, all keys open, and an unknown key is loaded', async (t) => {
  const [old, newest] = [newKey(), newKey()]
  let keys = [old]
  const vault = createVault(() => keys, randomBytes)
  const sealedOld = vault.seal(associatedData, new Secret('old'))
  const otherVault = createVault(() => [newest, old], randomBytes)
  const sealedNewest = otherVault.seal(associatedData, new Secret('young'))
  t.equal(otherVault.open(associatedData, sealedOld).reveal(), 'old')
  t.equal(otherVault.keyIds().length, 2)

  t.throws(() => vault.open(associatedData, sealedNewest), { code: 'temporarily_unavailable' })
  keys = [newest, old]
  t.equal(vault.open(associatedData, sealedNewest).reveal(), 'young')
  t.not(vault.keyId(), otherVault.keyId(), 'it still seals with its own key')
  t.strictSame([vault.isCurrent(sealedOld), vault.isCurrent(sealedNewest)], [true, false])
  t.equal(vault.reload(otherVault.keyIds()), true)
  t.strictSame([vault.isCurrent(sealedOld), vault.isCurrent(sealedNewest)], [false, true])
  t.equal(vault.keyId(), otherVault.keyId())
})

t.test(
  'reload rejects keys that do not open stored values, or that are unknown to others',
  async (t) => {
    const [own, foreign] = [newKey(), newKey()]
    let keys = [own]
    const vault = createVault(() => keys, randomBytes)
    const known = vault.keyIds()
    for (keys of [[foreign], [foreign, own], []]) {
      t.equal(vault.reload(known), false)
      t.strictSame(vault.keyIds(), known)
    }
    keys = [own, foreign]
    t.equal(vault.reload(known), true, 'an additional key that only opens is accepted')
    t.strictSame(vault.keyId(), known[0])
  },
)

t.test('sealing without a key is an error', async (t) => {
  const vault = createVault(() => [], randomBytes)
  t.throws(() => vault.seal(associatedData, new Secret('x')), /no encryption key/)
  t.equal(vault.keyId(), '')
})

t.test('each value is sealed with a key of its own, from 24 random bytes', async (t) => {
  const taken: number[] = []
  const vault = createVault(
    () => [newKey()],
    (bytes) => (taken.push(bytes), Buffer.alloc(bytes, 7)),
  )
  const sealed = Buffer.from(vault.seal(associatedData, new Secret('token')))
  t.strictSame(taken, [24])
  t.equal(sealed[0], 2)
  t.strictSame(sealed.subarray(9, 33), Buffer.alloc(24, 7))
  t.equal(vault.isCurrent(sealed), true)
})
