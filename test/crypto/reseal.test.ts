import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Store } from '../../db/store.ts'
import { resealAll } from '../../server/crypto/reseal.ts'
import { createVault } from '../../server/crypto/vault.ts'
import { newKey } from '../../server/data/secret-key.ts'
import { Secret } from '../../server/secret.ts'

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
