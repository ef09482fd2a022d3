import type { AssociatedData, SealedValue, Store } from '../../db/store.ts'
import type { Secret } from '../secret.ts'
import type { Vault } from './vault.ts'

/** Values per transaction, so that a transaction takes only a few milliseconds. */
const BATCH_SIZE = 200
/** Number of failed places that are listed; of more, only the count is reported. */
const MAX_LISTED_PLACES = 20
/** Another pass finds what other processes have sealed meanwhile; one is usually enough. */
const MAX_PASSES = 5

/** The result of checking all sealed values. */
interface SealedValuesReport {
  values: number
  /** Number of values by key id. */
  byKey: Record<string, number>
  /** Number of values that `resealAll` would reseal. */
  outdated: number
  /** Number of values that can't be opened. */
  failed: number
  /** The first of them. */
  places: AssociatedData[]
}

/** Opens every sealed value of every table. `report` gets the number so far. */
export async function checkSealed(
  { store, vault }: { store: Store; vault: Vault },
  report: (values: number) => void,
): Promise<SealedValuesReport> {
  const found: SealedValuesReport = { values: 0, byKey: {}, outdated: 0, failed: 0, places: [] }
  for await (const page of pages(store)) {
    for (const { associatedData: place, sealed } of page) {
      const key = vault.keyOf(sealed)
      if (key === null) continue
      found.values++
      found.byKey[key] = (found.byKey[key] ?? 0) + 1
      if (!vault.isCurrent(sealed)) found.outdated++
      if (tryOpen(vault, place, sealed) === null) addFailed(found, place)
    }
    report(found.values)
  }
  return found
}

/**
 * Seals every value with the vault's first key, in the current format. Works beside other writers: a value that changed since it was
 * read is left as it is. If no process seals with another key and `failed` is 0, no other key is needed
 * afterwards. Can be interrupted at any point and run again.
 */
export async function resealAll(
  deps: { store: Store; vault: Vault },
  report: (resealed: number) => void,
): Promise<{ resealed: number } & Pick<SealedValuesReport, 'failed' | 'places'>> {
  let resealed = 0
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const found = { failed: 0, places: [] as AssociatedData[] }
    const before = resealed
    for await (const page of pages(deps.store)) {
      resealed += await resealPage(deps, page, found)
      report(resealed)
    }
    if (resealed === before || found.failed > 0) return { resealed, ...found }
  }
  throw new Error('values kept being sealed with another key')
}

async function resealPage(
  { store, vault }: { store: Store; vault: Vault },
  page: SealedValue[],
  found: Pick<SealedValuesReport, 'failed' | 'places'>,
): Promise<number> {
  const values = []
  for (const { key: valueKey, associatedData: place, sealed: expected } of page) {
    if (vault.keyOf(expected) === null || vault.isCurrent(expected)) continue
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
    const page: SealedValue[] = await store.listSealed({ after, limit: BATCH_SIZE })
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

function addFailed(
  found: Pick<SealedValuesReport, 'failed' | 'places'>,
  place: AssociatedData,
): void {
  found.failed++
  if (found.places.length < MAX_LISTED_PLACES) found.places.push(place)
}
