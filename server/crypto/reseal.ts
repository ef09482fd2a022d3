import type { AssociatedData, SealedValue, Store } from '../../db/store.ts'
import type { Secret } from '../secret.ts'
import type { Vault } from './vault.ts'

/** Values a transaction: whoever waits for it waits for a few milliseconds. */
const BATCH = 200
/** So many places that don't open are named; of more, only the number is told. */
const NAMED = 20
/** What another process has sealed meanwhile is found in a further pass; one is usually enough. */
const PASSES = 5

/** What was found of all sealed values. */
export interface Checked {
  values: number
  /** How many are sealed with each key, by the key's id. */
  byKey: Record<string, number>
  /** How many don't open, and where the first of them are. */
  failed: number
  places: AssociatedData[]
}

/** Opens every sealed value of every table. `report` is told how many so far. */
export async function checkSealed(
  { store, vault }: { store: Store; vault: Vault },
  report: (values: number) => void,
): Promise<Checked> {
  const found: Checked = { values: 0, byKey: {}, failed: 0, places: [] }
  for await (const page of pages(store)) {
    for (const { associatedData: place, sealed } of page) {
      const key = vault.keyOf(sealed)
      if (key === null) continue
      found.values++
      found.byKey[key] = (found.byKey[key] ?? 0) + 1
      if (tryOpen(vault, place, sealed) === null) addFailed(found, place)
    }
    report(found.values)
  }
  return found
}

/**
 * Seals everything with the vault's first key that is sealed with another one, beside whatever writes at
 * the same time: what changed since it was read stays as it is. Once nobody seals with another key, and
 * `failed` is 0, nothing needs another key. Can be ended at any point, and run again.
 */
export async function resealAll(
  needs: { store: Store; vault: Vault },
  report: (resealed: number) => void,
): Promise<{ resealed: number } & Pick<Checked, 'failed' | 'places'>> {
  let resealed = 0
  for (let pass = 0; pass < PASSES; pass++) {
    const found = { failed: 0, places: [] as AssociatedData[] }
    const before = resealed
    for await (const page of pages(needs.store)) {
      resealed += await resealPage(needs, page, found)
      report(resealed)
    }
    if (resealed === before || found.failed > 0) return { resealed, ...found }
  }
  throw new Error('values kept being sealed with another key')
}

async function resealPage(
  { store, vault }: { store: Store; vault: Vault },
  page: SealedValue[],
  found: Pick<Checked, 'failed' | 'places'>,
): Promise<number> {
  const values = []
  for (const { key: valueKey, associatedData: place, sealed: expected } of page) {
    const key = vault.keyOf(expected)
    if (key === null || key === vault.keyId()) continue
    const secret = tryOpen(vault, place, expected)
    if (secret === null) addFailed(found, place)
    else values.push({ key: valueKey, expected, sealed: vault.seal(place, secret) })
  }
  if (values.length === 0) return 0
  await store.reseal(values)
  return values.length
}

async function* pages(store: Store): AsyncGenerator<SealedValue[]> {
  let after: string | null = null
  for (;;) {
    const page: SealedValue[] = await store.listSealed({ after, limit: BATCH })
    const last = page.at(-1)
    if (!last) return
    yield page
    after = last.key
  }
}

function tryOpen(vault: Vault, place: AssociatedData, sealed: Uint8Array): Secret | null {
  try {
    return vault.open(place, sealed)
  } catch {
    return null
  }
}

function addFailed(found: Pick<Checked, 'failed' | 'places'>, place: AssociatedData): void {
  found.failed++
  if (found.places.length < NAMED) found.places.push(place)
}
