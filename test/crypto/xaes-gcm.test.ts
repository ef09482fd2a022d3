import { createHash } from 'node:crypto'
import t from 'tap'
import { createXaesGcm } from '../../server/crypto/xaes-gcm.ts'

const NONCE = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX')
const TEXT = Buffer.from('XAES-256-GCM')

/** The vectors of the specification: one for each value of the high bit in the derivation of the subkey. */
const VECTORS = [
  {
    key: Buffer.alloc(32, 1),
    associatedData: Buffer.of(),
    sealed: 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271',
  },
  {
    key: Buffer.alloc(32, 3),
    associatedData: Buffer.from('c2sp.org/XAES-256-GCM'),
    sealed: '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d',
  },
]

t.test('the test vectors of the specification', async (t) => {
  for (const { key, associatedData, sealed } of VECTORS) {
    const xaes = createXaesGcm(key)
    t.equal(xaes.seal(NONCE, TEXT, associatedData).toString('hex'), sealed)
    t.strictSame(xaes.open(NONCE, Buffer.from(sealed, 'hex'), associatedData), TEXT)
  }
})

t.test('the accumulated test vector of the specification: 10,000 values', async (t) => {
  const ROUNDS = 10_000
  const random = shake128(Buffer.of(), ROUNDS * (32 + 24 + 2 * 256))
  let at = 0
  const read = (bytes: number) => random.subarray(at, (at += bytes))
  const all = createHash('shake128', { outputLength: 32 })
  for (let round = 0; round < ROUNDS; round++) {
    const xaes = createXaesGcm(read(32))
    const nonce = read(24)
    const text = read(read(1).readUInt8())
    const associatedData = read(read(1).readUInt8())
    const sealed = xaes.seal(nonce, text, associatedData)
    all.update(sealed)
    if (!xaes.open(nonce, sealed, associatedData).equals(text)) t.fail(`round ${round}`)
  }
  t.equal(all.digest('hex'), 'e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939')
})

t.test('a changed nonce, ciphertext, tag or associated data is refused', async (t) => {
  const xaes = createXaesGcm(Buffer.alloc(32, 1))
  const sealed = xaes.seal(NONCE, TEXT, TEXT)
  const flip = (bytes: Buffer, at: number) => {
    const changed = Buffer.from(bytes)
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
    return changed
  }
  for (const at of NONCE.keys()) t.throws(() => xaes.open(flip(NONCE, at), sealed, TEXT))
  for (const at of sealed.keys()) t.throws(() => xaes.open(NONCE, flip(sealed, at), TEXT))
  t.throws(() => xaes.open(NONCE, sealed, flip(TEXT, 0)))
})

const shake128 = (input: Buffer, outputLength: number): Buffer =>
  createHash('shake128', { outputLength }).update(input).digest()
