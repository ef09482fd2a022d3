import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { createVault } from '../../server/crypto/vault.ts'
import { Secret } from '../../server/secret.ts'

const newKey = () => new Secret(randomBytes(32).toString('base64url'))
const place = 'connections/con_1/refresh_token'

t.test('what is sealed for a place opens there', async (t) => {
  const vault = createVault(() => [newKey()], randomBytes)
  for (const text of ['', 'token', 'ü€😀', 'x'.repeat(16 * 1024)]) {
    t.equal(vault.open(place, vault.seal(place, new Secret(text))).reveal(), text)
  }
})

t.test('it opens nowhere else, and not when a bit of it was changed', async (t) => {
  const vault = createVault(() => [newKey()], randomBytes)
  const sealed = vault.seal(place, new Secret('token'))
  t.throws(() => vault.open('connections/con_2/refresh_token', sealed))
  t.throws(() => vault.open('connections/con_1/access_token', sealed))
  for (const at of [0, 12, 30, sealed.length - 1]) {
    const changed = Uint8Array.from(sealed)
    changed[at] = (changed[at] ?? 0) ^ 1
    t.throws(() => vault.open(place, changed), `byte ${at}`)
  }
  t.throws(() => vault.open(place, new Uint8Array(5)), 'cut short')
})

t.test('a newer value has the size of the older, so that it overwrites it', async (t) => {
  const vault = createVault(() => [newKey()], randomBytes)
  const size = (length: number) => vault.seal(place, new Secret('x'.repeat(length))).length
  t.equal(size(0), size(300))
  t.equal(size(320), size(1000))
  t.equal(size(1200), size(4000))
  t.equal(size(5000), size(16 * 1024))
  t.throws(() => size(20_000), /too long/)
})

t.test('the same secret never gives the same bytes, and never shows in them', async (t) => {
  const vault = createVault(() => [newKey()], randomBytes)
  const [one, two] = [0, 1].map(() => Buffer.from(vault.seal(place, new Secret('a-secret'))))
  t.notSame(one, two)
  t.notOk(one?.includes('a-secret'))
  t.notMatch(inspect(vault.open(place, one ?? new Uint8Array())), 'a-secret')
})

t.test('the first key seals, all open, and keys that came later are loaded', async (t) => {
  const [old, young] = [newKey(), newKey()]
  let keys = [old]
  const vault = createVault(() => keys, randomBytes)
  const sealedOld = vault.seal(place, new Secret('old'))
  const elsewhere = createVault(() => [young, old], randomBytes)
  const sealedYoung = elsewhere.seal(place, new Secret('young'))
  t.equal(elsewhere.open(place, sealedOld).reveal(), 'old')
  t.equal(elsewhere.keyIds().length, 2)

  t.throws(() => vault.open(place, sealedYoung), { code: 'temporarily_unavailable' })
  keys = [young, old]
  t.equal(vault.open(place, sealedYoung).reveal(), 'young')
  t.not(vault.keyId(), elsewhere.keyId(), 'it goes on sealing with its own')
  t.equal(vault.reload(elsewhere.keyIds()), true)
  t.equal(vault.keyId(), elsewhere.keyId())
})

t.test('keys that don’t open what is stored, or that nobody knows, are not taken up', async (t) => {
  const [own, foreign] = [newKey(), newKey()]
  let keys = [own]
  const vault = createVault(() => keys, randomBytes)
  const known = vault.keyIds()
  for (keys of [[foreign], [foreign, own], []]) {
    t.equal(vault.reload(known), false)
    t.strictSame(vault.keyIds(), known)
  }
  keys = [own, foreign]
  t.equal(vault.reload(known), true, 'one that opens only may come')
  t.strictSame(vault.keyId(), known[0])
})

t.test('without a key nothing is sealed', async (t) => {
  const vault = createVault(() => [], randomBytes)
  t.throws(() => vault.seal(place, new Secret('x')), /no encryption key/)
  t.equal(vault.keyId(), '')
})
