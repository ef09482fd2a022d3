import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto'
import t from 'tap'
import type { Store } from '../../db/store.ts'
import { checkSealed, resealAll } from '../../server/crypto/reseal.ts'
import { createVault, keyIdOf } from '../../server/crypto/vault.ts'
import { newKey } from '../../server/data/secret-key.ts'
import { Secret } from '../../server/secret.ts'
import { connect } from '../db/rows.ts'
import { openTemporary } from '../db/temporary.ts'

t.test(
  'resealAll fails after five passes if another process keeps sealing with an old key',
  async (t) => {
    const [oldKey, newest] = [newKey(randomBytes), newKey(randomBytes)]
    const otherVault = createVault(() => [oldKey], randomBytes)
    const vault = createVault(() => [newest, oldKey], randomBytes)
    const associatedData = 'connections/con_1/refresh_token'
    let writes = 0
    const sealed = otherVault.seal(associatedData, new Secret('token'))
    const store = {
      listSealed: async ({ after }: { after: string | null }) =>
        after === null ? [{ key: 'k', associatedData, sealed }] : [],
      reseal: async () => ++writes,
    } as unknown as Store
    const reported: number[] = []
    const resealing = resealAll({ store, vault }, (count) => reported.push(count))
    await t.rejects(resealing, /kept being sealed with another key/)
    t.equal(writes, 5)
    t.strictSame(reported, [1, 2, 3, 4, 5])
  },
)

/** `seal` of the first version of this program: AES-256-GCM with a nonce of 12 bytes. */
function sealAsBefore(key: Secret, associatedData: string, text: string): Buffer {
  const master = Buffer.from(key.reveal(), 'base64url')
  const derived = Buffer.from(hkdfSync('sha256', master, '', 'ellipsis-broker seal', 32))
  const nonce = randomBytes(12)
  const head = Buffer.concat([Buffer.of(1), Buffer.from(keyIdOf(key), 'hex'), nonce])
  const padded = Buffer.alloc([320, 1152].find((size) => text.length + 4 <= size) ?? 0)
  padded.writeUInt32BE(text.length)
  padded.write(text, 4)
  const cipher = createCipheriv('aes-256-gcm', derived, nonce)
  cipher.setAAD(Buffer.concat([head, Buffer.from(associatedData)]))
  return Buffer.concat([head, cipher.update(padded), cipher.final(), cipher.getAuthTag()])
}

t.test('values of the first format open, and are resealed whatever their length', async (t) => {
  const key = newKey(randomBytes)
  const vault = createVault(() => [key], randomBytes)
  const { store } = await openTemporary(t)
  const place = 'connections/con_1/refresh_token'
  // 310: with the longer nonce, this text no longer fits into the smallest size.
  for (const length of [0, 200, 304, 305, 310, 316, 317, 1000]) {
    const text = 'x'.repeat(length)
    const old = sealAsBefore(key, place, text)
    t.equal(vault.open(place, old).reveal(), text)
    t.throws(() => vault.open('connections/con_2/refresh_token', old))
    t.equal(vault.isCurrent(old), false)
    const isLonger = length > 304 && length < 317
    t.equal(vault.seal(place, new Secret(text)).length > old.length, isLonger, `${length}`)
  }
  await connect(store, 'con_1')
  await connect(store, 'con_2')
  const values = []
  for (const [id, length] of Object.entries({ con_1: 310, con_2: 200 })) {
    for (const column of ['refresh_token', 'access_token'] as const) {
      const at = `connections/${id}/${column}` as const
      const stored = await store.getConnection(id)
      const expected =
        (column === 'refresh_token' ? stored?.refreshToken : stored?.accessToken) ?? Buffer.of()
      values.push({ key: at, expected, sealed: sealAsBefore(key, at, 'x'.repeat(length)) })
    }
  }
  t.equal(await store.reseal(values), 4)
  const check = () => checkSealed({ store, vault }, () => undefined)
  t.match(await check(), { values: 4, outdated: 4, failed: 0 })
  t.match(await resealAll({ store, vault }, () => undefined), { resealed: 4, failed: 0 })
  t.match(await check(), { values: 4, outdated: 0, failed: 0 })
  t.match(await resealAll({ store, vault }, () => undefined), { resealed: 0, failed: 0 })
})
