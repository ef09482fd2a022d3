import type { Test } from 'tap'
import type { SealedValue, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { addSigningKey, connect, newSigningKey, seal } from '../rows.ts'

async function all(store: Store, limit: number): Promise<SealedValue[]> {
  const values: SealedValue[] = []
  for (let after: string | null = null; ;) {
    const page: SealedValue[] = await store.listSealed({ after, limit })
    if (page.length === 0) return values
    if (page.length > limit) throw new Error('more than were asked for')
    values.push(...page)
    after = page.at(-1)?.key ?? null
  }
}

async function fill(store: Store): Promise<void> {
  for (const id of ['a', 'b', 'c']) await connect(store, id)
  await addSigningKey(store, newSigningKey('k/1'))
}

export function testSealed(t: Test, open: OpenStore): void {
  t.test(
    'every sealed value is listed once, with its associated data, whatever the page size',
    async (t) => {
      const store = await open(t)
      t.strictSame(await all(store, 10), [])
      await fill(store)
      const associatedData = [
        ...['a', 'b', 'c'].map((id) => `connections/${id}/access_token`),
        ...['a', 'b', 'c'].map((id) => `connections/${id}/refresh_token`),
        'signing_keys/k/1/private_key',
      ]
      for (const limit of [1, 2, 3, 100]) {
        t.strictSame(
          (await all(store, limit)).map(({ associatedData }) => associatedData),
          associatedData,
          `${limit}`,
        )
      }
      const values = await all(store, 100)
      t.strictSame(Buffer.from(values[3]?.sealed ?? []), seal('refresh a'))
    },
  )

  t.test('values are replaced unless another writer has changed them', async (t) => {
    const store = await open(t)
    await fill(store)
    const keys = new Map(
      (await all(store, 100)).map(({ key, associatedData }) => [associatedData, key]),
    )
    const replacing = (id: string, expected: string) => ({
      key: keys.get(`connections/${id}/refresh_token`) ?? `connections/${id}/refresh_token`,
      expected: seal(expected),
      sealed: seal(`anew ${id}`),
    })
    const signingKey = {
      key: keys.get('signing_keys/k/1/private_key') ?? '',
      expected: Buffer.from(newSigningKey('k/1').privateKey),
      sealed: seal('anew key'),
    }
    const values = [
      replacing('a', 'refresh a'),
      replacing('b', 'other'),
      replacing('no', 'x'),
      { ...replacing('c', 'refresh c'), key: 'connections/c/username' },
      signingKey,
    ]
    t.equal(await store.reseal(values), 2)
    const token = async (id: string) =>
      Buffer.from((await store.getConnection(id))?.refreshToken ?? [])
    t.strictSame(await token('a'), seal('anew a'))
    t.strictSame(await token('b'), seal('refresh b'))
    t.strictSame(await token('c'), seal('refresh c'), 'no sealed column was named')
    t.equal((await store.getConnection('a'))?.generation, 1, 'the tokens are the same ones')
    t.equal(await store.reseal([]), 0)
  })

  t.test('a value is replaced by one of another length', async (t) => {
    const store = await open(t)
    await fill(store)
    const values = (await all(store, 100)).map(({ key, sealed }) => {
      return { key, expected: sealed, sealed: Buffer.concat([sealed, sealed]) }
    })
    t.equal(await store.reseal(values), values.length)
    t.strictSame(
      (await all(store, 100)).map(({ sealed }) => Buffer.from(sealed)),
      values.map(({ sealed }) => sealed),
    )
    t.equal(await store.reseal(values), 0)
  })
}
