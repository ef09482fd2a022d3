import type { SealedValue, SigningKey, SweptRows } from '../../../../db/store.ts'
import { newSigningKey } from '../../rows.ts'
import { openReference } from '../reference.ts'
import { call, DAY, several } from './context.ts'
import type { AnyStore, Command } from './context.ts'

const LIMIT_OF_PURGE = 100

export const upkeepCommands: Record<string, Command> = {
  replaceSigningKeys: (at) => {
    const keys = openReference(at.tables).listSigningKeys()
    const before = at.chance(15) ? keys.slice(1) : keys
    const changed = at.one(keys.filter(({ status }) => status !== 'revoked'))
    const status = at.choose<SigningKey['status']>('active', 'retired', 'revoked')
    const endedAt = status === 'active' ? null : at.now
    const rest = keys.filter((key) => key !== changed)
    const added = newSigningKey(at.fresh('kid'), {
      ...{ createdAt: at.now, privateKey: at.sealed('key'), status: at.choose('next', 'active') },
    })
    const after: SigningKey[] = at.choose(
      rest,
      ...(changed ? [[...rest, { ...changed, status, endedAt }]] : []),
      ...(keys.length < 4 ? [[...keys, added]] : []),
    )
    return call('replaceSigningKeys', before, after, at.events('key.rotated'))
  },

  /** Values are found by what they are bound to, as keys are the engine's own. */
  reseal: (at) => {
    const all = openReference(at.tables).listSealed({ after: null, limit: 1000 })
    // Nobody seals the zeros of a revoked key.
    const live = all.filter(({ sealed }) => sealed.some((byte) => byte !== 0))
    const { associatedData = '' } = at.one(live) ?? {}
    const sealed = at.sealed('resealed')
    const isStale = at.chance(20)
    return several(`reseal ${associatedData}${isStale ? ', late' : ''}`, async (store) => {
      const values = await listAllSealed(store)
      const chosen = values.filter((value) => value.associatedData === associatedData)
      return store.reseal(
        chosen.map((value) => ({
          ...{ key: value.key, sealed },
          expected: isStale ? Buffer.from('another') : value.sealed,
        })),
      )
    })
  },

  listSealed: (at) => {
    const limit = at.choose(1, 3, 100)
    return several(`listSealed, ${limit} at a time`, async (store) =>
      (await listAllSealed(store, limit)).map(({ associatedData, sealed }) => ({
        ...{ associatedData, sealed },
      })),
    )
  },

  setMeta: (at) =>
    call('setMeta', { [at.choose('a', 'b')]: at.fresh('value'), ...at.choose({}, { c: '1' }) }),

  sweep: (at) => {
    const limit = at.choose(2, 5, 100, 100)
    const bounds = {
      ...{ now: at.now, keepUsedMs: at.choose(0, DAY), endedBefore: at.now - at.choose(0, DAY) },
      eventsBefore: at.now - at.choose(DAY, 40 * DAY),
    }
    const text = `sweep(${JSON.stringify(bounds)}), ${limit} at a time`
    return several(text, async (store) => {
      const sum: Partial<SweptRows> = {}
      // What one sweep deletes may let the next one delete more: an event after its delivery.
      for (let calls = 0; calls < 4; calls++) {
        const { more, ...rows } = await store.sweep({ ...bounds, limit })
        for (const [kind, count] of Object.entries(rows) as [keyof SweptRows, number][]) {
          sum[kind] = (sum[kind] ?? 0) + count
          if (more || count > 0) calls = 0
        }
      }
      return sum
    })
  },

  purge: (at) => {
    const connectionId = at.choose({}, { connectionId: at.connectionId() })
    return call('purge', { now: at.now, limit: LIMIT_OF_PURGE, ...connectionId })
  },

  releaseSpace: () => several('releaseSpace', async (store) => void (await store.releaseSpace())),

  checkWritable: () => call('checkWritable'),
}

/** By what they are bound to. A page may be short, although there are more. */
export async function listAllSealed(store: AnyStore, limit = 100): Promise<SealedValue[]> {
  const found = []
  for (let after: string | null = null; ;) {
    const page: SealedValue[] = await store.listSealed({ after, limit })
    if (page.length === 0) break
    found.push(...page)
    after = page.at(-1)?.key ?? null
  }
  return found.sort((one, other) => (one.associatedData < other.associatedData ? -1 : 1))
}
