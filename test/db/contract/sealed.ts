import type { Test } from 'tap'
import type { Store } from '../../../db/store.ts'
import type { SealedPlace, SealedValue } from '../../../db/store/sealed.ts'
import type { OpenStore } from '../contract.ts'
import { connect, newFlow, NOW, seal } from '../rows.ts'

async function all(store: Store, limit: number): Promise<SealedValue[]> {
  const values: SealedValue[] = []
  for (let after: SealedPlace | null = null; ;) {
    const page: SealedValue[] = await store.listSealed({ after, limit })
    if (page.length === 0) return values
    if (page.length > limit) throw new Error('more than were asked for')
    values.push(...page)
    after = page.at(-1)?.place ?? null
  }
}

async function fill(store: Store): Promise<void> {
  for (const id of ['a', 'b', 'c']) await connect(store, id)
  await store.addFlow(newFlow('with/slash'))
  const key = {
    kid: 'k1',
    publicJwk: '{}',
    createdAt: NOW,
    activatedAt: null,
    endedAt: null,
    tokensUntil: null,
    status: 'active',
  } as const
  await store.addSigningKey({ ...key, privateKey: seal('key') }, [])
}

export function testSealed(t: Test, open: OpenStore): void {
  t.test(
    'every sealed value is listed once, with its place, however large the pages',
    async (t) => {
      const store = await open(t)
      t.strictSame(await all(store, 10), [])
      await fill(store)
      const places = [
        ...['a', 'b', 'c'].map((id) => `connections/${id}/access_token`),
        ...['a', 'b', 'c'].map((id) => `connections/${id}/refresh_token`),
        'flows/with/slash/verifier',
        'signing_keys/k1/private_key',
      ]
      for (const limit of [1, 2, 3, 100]) {
        t.strictSame(
          (await all(store, limit)).map(({ place }) => place),
          places,
          `${limit}`,
        )
      }
      const values = await all(store, 100)
      t.strictSame(Buffer.from(values[3]?.sealed ?? []), seal('refresh a'))
    },
  )

  t.test('values are replaced where nobody else has changed them', async (t) => {
    const store = await open(t)
    await fill(store)
    const place = (id: string) => `connections/${id}/refresh_token` as const
    const replacing = (id: string, expected: string) => ({
      place: place(id),
      expected: seal(expected),
      sealed: seal(`anew ${id}`),
    })
    const flow = {
      place: 'flows/with/slash/verifier' as const,
      expected: seal('verifier with/slash'),
      sealed: seal('anew flow'),
    }
    const values = [
      replacing('a', 'refresh a'),
      replacing('b', 'other'),
      replacing('no', 'x'),
      { ...replacing('c', 'refresh c'), place: 'connections/c/username' as const },
      flow,
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
}
