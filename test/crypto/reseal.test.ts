import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Store } from '../../db/store.ts'
import { resealAll } from '../../server/crypto/reseal.ts'
import { createVault } from '../../server/crypto/vault.ts'
import { newKey } from '../../server/data/secret-key.ts'
import { Secret } from '../../server/secret.ts'

t.test(
  'where another process keeps sealing with an old key, that is said in the end',
  async (t) => {
    const [old, young] = [newKey(randomBytes), newKey(randomBytes)]
    const before = createVault(() => [old], randomBytes)
    const vault = createVault(() => [young, old], randomBytes)
    const associatedData = 'connections/con_1/refresh_token'
    let writes = 0
    const store = {
      listSealed: async ({ after }: { after: string | null }) =>
        after === null
          ? [
              {
                key: 'k',
                associatedData,
                sealed: before.seal(associatedData, new Secret('token')),
              },
            ]
          : [],
      reseal: async () => ++writes,
    } as unknown as Store
    const told: number[] = []
    const resealing = resealAll({ store, vault }, (count) => told.push(count))
    await t.rejects(resealing, /kept being sealed with another key/)
    t.equal(writes, 5)
    t.strictSame(told, [1, 2, 3, 4, 5])
  },
)
